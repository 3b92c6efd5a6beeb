//! The native threads of one tunnel: started by the engine, joined when it closes.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, atomic::Ordering::Relaxed},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use pyfw_core::sync;

use super::{data_plane::DataPlaneHandle, shared::Shared};
use crate::sys::signals;

/// How long a closing tunnel waits for a stage call to return.
const JOIN_TIMEOUT: Duration = Duration::from_secs(2);

#[derive(Default)]
pub(crate) struct Threads(Mutex<Vec<Thread>>);

struct Thread {
    join: JoinHandle<()>,
    /// Of a data thread: its data plane, and its generation.
    plane: Option<(Arc<DataPlaneHandle>, u64)>,
}

impl Thread {
    /// Whether a stage call took so long that another thread has the data plane.
    fn is_replaced(&self) -> bool {
        self.plane.as_ref().is_some_and(|(handle, generation)| handle.generation() != *generation)
    }
}

impl Threads {
    /// Starts a thread.
    pub(crate) fn start(
        &self,
        name: &str,
        shared: Arc<Shared>,
        plane: Option<(Arc<DataPlaneHandle>, u64)>,
        body: impl FnOnce() -> io::Result<()> + Send + 'static,
    ) -> io::Result<()> {
        let join = std::thread::Builder::new().name(name.into()).spawn(move || {
            signals::block_in_this_thread();
            run(&shared, body);
        })?;
        sync::lock(&self.0).push(Thread { join, plane });
        Ok(())
    }

    /// Waits for all threads to exit; if there are stages, only until a timeout, because a thread may be
    /// inside a stage. Returns how many are left.
    pub(crate) fn join(&self, has_stages: bool) -> usize {
        let started = Instant::now();
        let mut left = std::mem::take(&mut *sync::lock(&self.0));
        loop {
            let (exiting, running): (Vec<_>, Vec<_>) =
                left.into_iter().partition(|thread| thread.join.is_finished() || !has_stages);
            for thread in exiting {
                // `run` has turned a panic into the tunnel's end.
                let _ = thread.join.join();
            }
            left = running;
            if left.iter().all(Thread::is_replaced) || started.elapsed() > JOIN_TIMEOUT {
                return left.len();
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Runs a thread's body; an error or a panic ends the tunnel with a reason.
fn run(shared: &Shared, body: impl FnOnce() -> io::Result<()>) {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => {}
        Ok(Err(error)) if error.raw_os_error() == Some(libc::EBADFD) => {
            shared.end("the TUN is gone".into());
        }
        Ok(Err(error)) => shared.end(format!("system error: {error}")),
        Err(panic) => {
            let text = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("unknown");
            shared.panicked.store(true, Relaxed);
            shared.end(format!("panic: {text}"));
        }
    }
}
