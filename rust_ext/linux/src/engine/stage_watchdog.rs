//! Watches stage calls, and stands in for a data thread whose call does not return.
//!
//! While a call is stalled, the control thread serves its data plane, see
//! [`DataPlane::serve_stalled`](super::data_plane::DataPlane::serve_stalled); it drops the tunnel's data, so
//! that none overtakes the batch in the stage. It checks eight times a second while stages are called, and
//! not at all otherwise.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    sync::{Arc, MutexGuard, atomic::Ordering::SeqCst},
};

use pyfw_core::stage_api::{Outcome, RunningCall};

use super::{
    data_plane::{DataPlane, DataPlaneHandle},
    events::{Severity, Value},
    shared::{DataCommand, Shared, Sockets},
};
use crate::sys::{
    clock,
    epoll::{Epoll, EventFlags},
};

/// A call that lasts longer is stalled.
const STALLED_NS: u64 = 250_000_000;
/// Time between two checks.
const CHECK_NS: u64 = STALLED_NS / 2;

/// Starts a data thread of the given generation.
pub(crate) type StartDataThread = dyn Fn(&Arc<DataPlaneHandle>, u64) -> io::Result<()>;

pub(crate) struct StageWatchdog {
    /// The descriptors of the stalled data planes; empty otherwise.
    epoll: Epoll,
    polled: Vec<Arc<Sockets>>,
    stalled: Option<RunningCall>,
    /// Calls at the last check.
    calls: u64,
    commands: Vec<DataCommand>,
}

impl StageWatchdog {
    pub(crate) fn new() -> io::Result<Self> {
        let epoll = Epoll::new()?;
        Ok(Self { epoll, polled: Vec::new(), stalled: None, calls: 0, commands: Vec::new() })
    }

    /// Checks the calls and serves stalled data planes. Returns when to check again.
    pub(crate) fn check(
        &mut self,
        shared: &Arc<Shared>,
        handles: &[Arc<DataPlaneHandle>],
        start_data_thread: &StartDataThread,
    ) -> io::Result<Option<u64>> {
        let Some(stages) = shared.stages.as_deref().filter(|_| shared.watchdog_armed.load(SeqCst))
        else {
            return Ok(None);
        };
        let now_ns = clock::boottime_ns();
        match stages.longest_call(now_ns).filter(|running| running.for_ns >= STALLED_NS) {
            Some(running) => {
                self.serve(running, shared, handles, now_ns)?;
                self.enforce_limit(shared, handles, start_data_thread)?;
            }
            None => self.stop_serving(shared, handles)?,
        }
        let calls = shared.stage_calls.load(SeqCst);
        if calls == self.calls && self.stalled.is_none() && stages.longest_call(now_ns).is_none() {
            shared.watchdog_armed.store(false, SeqCst);
            // A call that began before the store has found the watchdog armed.
            if shared.stage_calls.load(SeqCst) == calls {
                return Ok(None);
            }
            shared.watchdog_armed.store(true, SeqCst);
        }
        self.calls = calls;
        Ok(Some(now_ns + CHECK_NS))
    }

    fn serve(
        &mut self,
        running: RunningCall,
        shared: &Shared,
        handles: &[Arc<DataPlaneHandle>],
        now_ns: u64,
    ) -> io::Result<()> {
        if self.stalled.is_none() {
            emit_event(shared, "stage.stalled", &running);
            self.epoll.add(shared.tun.as_fd(), 0, EventFlags::IN)?;
            for handle in handles {
                self.epoll.add(handle.commands.as_fd(), 0, EventFlags::IN)?;
            }
        }
        self.stalled = Some(running);
        for (handle, mut plane) in idle(handles) {
            handle.commands.take(&mut self.commands);
            plane.serve_stalled(&mut self.commands, shared, now_ns)?;
            if !self.polled.iter().any(|sockets| Arc::ptr_eq(sockets, &plane.sockets)) {
                self.polled.push(Arc::clone(&plane.sockets));
                for socket in plane.sockets.iter() {
                    self.epoll.add(socket.as_fd(), 0, EventFlags::IN)?;
                }
            }
        }
        Ok(())
    }

    /// Closes the tunnel or removes the stage if the call exceeds the stage's limit.
    fn enforce_limit(
        &mut self,
        shared: &Shared,
        handles: &[Arc<DataPlaneHandle>],
        start_data_thread: &StartDataThread,
    ) -> io::Result<()> {
        let exceeds_limit =
            |running: &RunningCall| running.limit_ns.is_some_and(|limit| running.for_ns >= limit);
        let Some(running) = self.stalled.clone().filter(exceeds_limit) else { return Ok(()) };
        let RunningCall { name, for_ns, .. } = &running;
        match running.outcome {
            Outcome::Close => {
                // The batch in the stage must not be sent when the call returns.
                for handle in handles {
                    if let Some(mut plane) = handle.try_lock() {
                        handle.next_generation(&mut plane);
                    }
                }
                let seconds = *for_ns as f64 / 1e9;
                shared.end(format!("stage {name} did not return for {seconds:.1} s"));
                for handle in handles {
                    handle.commands.post([DataCommand::Wake]);
                }
            }
            Outcome::Remove => {
                if let Some(stages) = &shared.stages {
                    stages.abandon(running.stage);
                }
                for (handle, mut plane) in idle(handles) {
                    start_data_thread(handle, handle.next_generation(&mut plane))?;
                }
                self.stop_serving(shared, handles)?;
            }
        }
        Ok(())
    }

    fn stop_serving(
        &mut self,
        shared: &Shared,
        handles: &[Arc<DataPlaneHandle>],
    ) -> io::Result<()> {
        let Some(running) = self.stalled.take() else { return Ok(()) };
        self.epoll.remove(shared.tun.as_fd())?;
        for handle in handles {
            self.epoll.remove(handle.commands.as_fd())?;
        }
        for sockets in self.polled.drain(..) {
            for socket in sockets.iter() {
                self.epoll.remove(socket.as_fd())?;
            }
        }
        emit_event(shared, "stage.stall_over", &running);
        Ok(())
    }
}

/// Returns the data planes that no thread works on: their data threads are inside a stage.
fn idle(
    handles: &[Arc<DataPlaneHandle>],
) -> impl Iterator<Item = (&Arc<DataPlaneHandle>, MutexGuard<'_, DataPlane>)> {
    handles.iter().filter_map(|handle| {
        let plane = handle.try_lock().filter(|plane| !plane.stop)?;
        Some((handle, plane))
    })
}

impl AsFd for StageWatchdog {
    /// Readable while a stalled data plane has something to serve.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

fn emit_event(shared: &Shared, message: &'static str, running: &RunningCall) {
    let fields = [
        ("stage", Value::Text(running.name.clone())),
        ("for_ms", Value::Number((running.for_ns / 1_000_000) as i64)),
    ];
    shared.emit_event(Severity::Warning, message, fields);
}
