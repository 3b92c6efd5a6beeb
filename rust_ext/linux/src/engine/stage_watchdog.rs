//! stage_watchdog: control in the place of a data thread that does not come back from a stage.
//!
//! In: how long the calls of stages last; the descriptors of the paths, while one lasts too long.
//! Out: what must go on (see `paths`), a line that says so. Drops: the tunnel's data, as
//! `stage_stalled`. Order: data is dropped, so none overtakes the batch that the stage still has.
//! Time: looks eight times a second while stages are called, and not at all otherwise.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    sync::{Arc, atomic::Ordering::SeqCst},
};

use pyfw_core::stage_api::{Outcome, Running};

use super::{
    data_plane::DataPlaneHandle,
    events::{Severity, Value},
    shared::{DataCommand, Shared, Sockets},
};
use crate::sys::{
    clock,
    epoll::{Epoll, EventFlags},
};

/// A call that lasts longer is stalled (design §6).
const STALLED_NS: u64 = 250_000_000;
/// Between two looks.
const LOOK_NS: u64 = STALLED_NS / 2;

/// See the module.
pub(crate) struct StageWatchdog {
    /// What the stalled paths wait for; nothing otherwise.
    epoll: Epoll,
    poller: Vec<Arc<Sockets>>,
    stalled: Option<Running>,
    calls: u64,
    commands: Vec<DataCommand>,
}

impl StageWatchdog {
    pub(crate) fn new() -> io::Result<Self> {
        let epoll = Epoll::new()?;
        Ok(Self { epoll, poller: Vec::new(), stalled: None, calls: 0, commands: Vec::new() })
    }

    /// Looks, serves what is stalled, and says when to look again.
    pub(crate) fn look(
        &mut self,
        shared: &Arc<Shared>,
        handles: &[Arc<DataPlaneHandle>],
        sit: &dyn Fn(&Arc<DataPlaneHandle>, u64) -> io::Result<()>,
    ) -> io::Result<Option<u64>> {
        let Some(stages) = shared.stages.as_deref().filter(|_| shared.watching.load(SeqCst)) else {
            return Ok(None);
        };
        let now_ns = clock::boottime_ns();
        match stages.running(now_ns).filter(|running| running.for_ns >= STALLED_NS) {
            Some(running) => {
                self.serve(running, shared, handles, now_ns)?;
                self.end_what_lasts(shared, handles, sit)?;
            }
            None => self.leave(shared, handles)?,
        }
        let calls = shared.stage_calls.load(SeqCst);
        if calls == self.calls && self.stalled.is_none() && stages.running(now_ns).is_none() {
            shared.watching.store(false, SeqCst);
            // Whoever called in between found it set.
            if shared.stage_calls.load(SeqCst) == calls {
                return Ok(None);
            }
            shared.watching.store(true, SeqCst);
        }
        self.calls = calls;
        Ok(Some(now_ns + LOOK_NS))
    }

    fn serve(
        &mut self,
        running: Running,
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
        for handle in handles {
            // A handle that is taken is at work.
            let Some(mut paths) = handle.vacant().filter(|paths| !paths.stop) else { continue };
            handle.commands.take(&mut self.commands);
            paths.serve_stalled(&mut self.commands, shared, now_ns)?;
            if !self.poller.iter().any(|known| Arc::ptr_eq(known, &paths.sockets)) {
                self.poller.push(Arc::clone(&paths.sockets));
                for socket in paths.sockets.both() {
                    self.epoll.add(socket.as_fd(), 0, EventFlags::IN)?;
                }
            }
        }
        Ok(())
    }

    /// What was chosen for a call that lasts too long.
    fn end_what_lasts(
        &mut self,
        shared: &Shared,
        handles: &[Arc<DataPlaneHandle>],
        sit: &dyn Fn(&Arc<DataPlaneHandle>, u64) -> io::Result<()>,
    ) -> io::Result<()> {
        let lasts =
            |running: &Running| running.limit_ns.is_some_and(|limit| running.for_ns >= limit);
        let Some(running) = self.stalled.clone().filter(lasts) else { return Ok(()) };
        let Running { name, for_ns, .. } = &running;
        match running.outcome {
            Outcome::Close => {
                // What comes back from the stage now is not sent.
                for handle in handles {
                    if let Some(mut paths) = handle.vacant() {
                        handle.take_over(&mut paths);
                    }
                }
                let seconds = *for_ns as f64 / 1e9;
                shared.end(format!("stage {name} did not return for {seconds:.1} s"));
                for handle in handles {
                    handle.commands.post([DataCommand::Look]);
                }
            }
            Outcome::Remove => {
                if let Some(stages) = &shared.stages {
                    stages.abandon(running.stage);
                }
                for handle in handles {
                    let Some(mut paths) = handle.vacant().filter(|paths| !paths.stop) else {
                        continue;
                    };
                    sit(handle, handle.take_over(&mut paths))?;
                }
                self.leave(shared, handles)?;
            }
        }
        Ok(())
    }

    fn leave(&mut self, shared: &Shared, handles: &[Arc<DataPlaneHandle>]) -> io::Result<()> {
        let Some(running) = self.stalled.take() else { return Ok(()) };
        self.epoll.remove(shared.tun.as_fd())?;
        for handle in handles {
            self.epoll.remove(handle.commands.as_fd())?;
        }
        for sockets in self.poller.drain(..) {
            for socket in sockets.both() {
                self.epoll.remove(socket.as_fd())?;
            }
        }
        emit_event(shared, "stage.stall_over", &running);
        Ok(())
    }
}

impl AsFd for StageWatchdog {
    /// Readable while a stalled path has something to do.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

fn emit_event(shared: &Shared, message: &'static str, running: &Running) {
    let fields = [
        ("stage", Value::Text(running.name.clone())),
        ("for_ms", Value::Number((running.for_ns / 1_000_000) as i64)),
    ];
    shared.emit_event(Severity::Warning, message, fields);
}
