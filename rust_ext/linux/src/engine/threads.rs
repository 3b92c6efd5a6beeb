//! The native threads of one tunnel, and how they end.
//!
//! In: bodies of threads. Out: all of them joined; one that a stage does not give back is left to
//! itself after a while, and ends when the stage lets go of it.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use pyfw_core::sync;

use super::{data_plane::DataPlaneHandle, data_thread::guarded, shared::Shared};
use crate::sys::signals;

/// How long the end of a stage's call is waited for when the tunnel closes.
const PATIENCE: Duration = Duration::from_secs(2);

/// See the module.
#[derive(Default)]
pub(crate) struct Threads(Mutex<Vec<Member>>);

struct Member {
    thread: JoinHandle<()>,
    /// Of a data thread: its handle, and the number of its generation.
    handle: Option<(Arc<DataPlaneHandle>, u64)>,
}

impl Member {
    /// Whether a stage kept it for so long that another thread has its handle.
    fn is_left_behind(&self) -> bool {
        self.handle.as_ref().is_some_and(|(handle, generation)| handle.generation() != *generation)
    }
}

impl Threads {
    /// Starts a thread.
    pub(crate) fn start(
        &self,
        name: &str,
        shared: Arc<Shared>,
        handle: Option<(Arc<DataPlaneHandle>, u64)>,
        body: impl FnOnce() -> io::Result<()> + Send + 'static,
    ) -> io::Result<()> {
        let thread = std::thread::Builder::new().name(name.into()).spawn(move || {
            signals::block_in_this_thread();
            guarded(&shared, body);
        })?;
        self.members().push(Member { thread, handle });
        Ok(())
    }

    /// Waits for all to end. Where there are stages the wait has an end, as one may be inside of one;
    /// how many are left is returned.
    pub(crate) fn join(&self, has_stages: bool) -> usize {
        let begun = Instant::now();
        let mut left = std::mem::take(&mut *self.members());
        loop {
            let (ending, lasting): (Vec<_>, Vec<_>) =
                left.into_iter().partition(|member| member.thread.is_finished() || !has_stages);
            for member in ending {
                // A panic was turned into `ended` inside the thread.
                let _ = member.thread.join();
            }
            left = lasting;
            if left.iter().all(Member::is_left_behind) || begun.elapsed() > PATIENCE {
                return left.len();
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn members(&self) -> MutexGuard<'_, Vec<Member>> {
        sync::lock(&self.0)
    }
}
