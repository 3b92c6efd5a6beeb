//! The data thread: wait, drain, process through all stages, flush, repeat.
//!
//! One thread serves both directions, or each has one of its own. In: readiness of the TUN, the
//! sockets and the command mailbox. Out: see the workers. Order: commands run between drains; those
//! posted before a datagram arrived run before it is looked at, as it may need the keys they bring.
//! A batch that the user's stages want is lent to them; nothing else moves here until it is back.
//! Time: one clock read a wake-up, and one after each call of a stage, which may last. It sleeps as soon
//! as nothing is ready: polling 16 times before, with sched_yield, gained nothing beside programs that are
//! busy, and cost up to 9 % of a small packet.

mod poller;

use std::{
    io,
    sync::{Arc, MutexGuard, atomic::Ordering::Relaxed},
    time::Duration,
};

use pyfw_core::stage_api::Direction;

use self::poller::{COMMANDS, Poller, RETIRED_V4, RETIRED_V6, TICK, TUN, UDP_V4, UDP_V6};
use super::{
    data_plane::{DataPlane, DataPlaneHandle},
    shared::{DataCommand, Shared},
};
use crate::sys::clock;

/// A thread, and its handle.
pub(crate) struct DataThread {
    pub(crate) shared: Arc<Shared>,
    pub(crate) handle: Arc<DataPlaneHandle>,
    /// The number of its generation.
    pub(crate) generation: u64,
}

/// The paths after a step; `None` where another thread has taken the handle.
type Step<'s> = io::Result<Option<MutexGuard<'s, DataPlane>>>;

impl DataThread {
    /// Runs until told to stop, until the tunnel has ended, or until its handle was taken.
    pub(crate) fn run(self) -> io::Result<()> {
        let mut paths = self.handle.lock();
        let mut poller = Poller::new(&self.handle, &self.shared, &paths)?;
        let mut ready = Vec::with_capacity(8);
        let mut commands = Vec::new();
        let mut tail_waited = false;
        while !self.shared.has_ended() {
            poller.follow(&paths, &self.shared, self.tick_ns(&paths))?;
            let timeout = paths.keeps_tail().then_some(Duration::ZERO);
            poller.wait(timeout, &mut ready)?;
            // A kept batch waits for one turn of the sockets, whose acknowledgements make the TUN readable.
            let fills = ready.contains(&TUN);
            let waits = paths.keeps_tail() && !fills && !ready.is_empty() && !tail_waited;
            if paths.keeps_tail() && !fills && !waits {
                paths.flush(&self.shared, clock::boottime_ns());
            }
            tail_waited = waits;
            if ready.is_empty() {
                continue;
            }
            if paths.retired.is_some() {
                // What came to the old port was sent before what came to the new one.
                ready.sort_by_key(|token| !matches!(*token, RETIRED_V4 | RETIRED_V6));
            }
            let mut now_ns = clock::boottime_ns();
            for &token in &ready {
                let step = match token {
                    COMMANDS => {
                        self.handle.commands.take(&mut commands);
                        paths.run_commands(&mut commands, &self.shared, now_ns);
                        Some(paths)
                    }
                    TUN => self.drain_tun(paths, &mut commands, &mut now_ns)?,
                    UDP_V4 | UDP_V6 | RETIRED_V4 | RETIRED_V6 => {
                        self.serve_socket(paths, token, &mut commands, &mut now_ns)?
                    }
                    TICK => {
                        poller.clear_tick();
                        paths.close_retired(now_ns);
                        self.tick(paths, &mut now_ns)
                    }
                    _ => Some(paths),
                };
                let Some(after) = step else { return Ok(()) };
                paths = after;
            }
            let Some(after) = self.serve_pending(paths, &mut now_ns)? else { return Ok(()) };
            paths = after;
            paths.report(&self.shared);
            if paths.stop {
                paths.flush(&self.shared, now_ns);
                break;
            }
        }
        Ok(())
    }

    fn drain_tun<'s>(
        &'s self,
        mut paths: MutexGuard<'s, DataPlane>,
        commands: &mut Vec<DataCommand>,
        now_ns: &mut u64,
    ) -> Step<'s> {
        // What the other path has learnt from a batch is known before the answer to it is read.
        if self.handle.commands.waiting() != 0 {
            self.handle.commands.take(commands);
            paths.run_commands(commands, &self.shared, *now_ns);
        }
        if paths.is_blocked() {
            // A suspended TUN is poller for nothing but its end.
            self.shared.tun.is_persistent()?;
            return Ok(Some(paths));
        }
        let Some(outbound) = &mut paths.outbound else { return Ok(Some(paths)) };
        if !outbound.read(&self.shared, *now_ns)? {
            return Ok(Some(paths));
        }
        self.through_stages(paths, Direction::Outbound, now_ns)
    }

    /// Receives and writes one drain.
    fn serve_socket<'s>(
        &'s self,
        mut paths: MutexGuard<'s, DataPlane>,
        token: u64,
        commands: &mut Vec<DataCommand>,
        now_ns: &mut u64,
    ) -> Step<'s> {
        let in_use = matches!(token, UDP_V4 | UDP_V6);
        let sockets = match &paths.retired {
            Some(retired) if !in_use => Arc::clone(&retired.sockets),
            None if !in_use => return Ok(Some(paths)),
            _ => Arc::clone(&paths.sockets),
        };
        let is_ipv4 = matches!(token, UDP_V4 | RETIRED_V4);
        let socket = if is_ipv4 { Some(&sockets.v4) } else { sockets.v6.as_ref() };
        let received = match (&mut paths.inbound, socket) {
            (Some(inbound), Some(socket)) => inbound.receive(socket, in_use, &self.shared)?,
            _ => false,
        };
        // Control posts a session before it sends the response that the peer answers.
        if received && self.handle.commands.waiting() != 0 {
            self.handle.commands.take(commands);
            paths.run_commands(commands, &self.shared, *now_ns);
        }
        if let Some(inbound) = paths.inbound.as_mut().filter(|_| received) {
            inbound.open(&self.shared, *now_ns);
            paths.tell_outbound(&self.shared, *now_ns);
            match self.through_stages(paths, Direction::Inbound, now_ns)? {
                Some(after) => paths = after,
                None => return Ok(None),
            }
        }
        if paths.is_blocked() {
            paths.flush(&self.shared, *now_ns);
        }
        Ok(Some(paths))
    }

    /// A batch through the user's stages where they want it, and on its way.
    fn through_stages<'s>(
        &'s self,
        paths: MutexGuard<'s, DataPlane>,
        direction: Direction,
        now_ns: &mut u64,
    ) -> Step<'s> {
        let wanted = |stages: &dyn pyfw_core::stage_api::Stages| {
            stages.wants(direction) || stages.has_pending(direction)
        };
        let lent = match self.shared.stages.as_deref().is_some_and(wanted) {
            true => self.lend(paths, direction, now_ns),
            false => Some(paths),
        };
        let Some(mut paths) = lent else { return Ok(None) };
        paths.release(direction, &self.shared, *now_ns)?;
        Ok(Some(paths))
    }

    /// Lends a batch, and gives up the paths for as long: it is later then.
    fn lend<'s>(
        &'s self,
        mut paths: MutexGuard<'s, DataPlane>,
        direction: Direction,
        now_ns: &mut u64,
    ) -> Option<MutexGuard<'s, DataPlane>> {
        let Some(stages) = &self.shared.stages else { return Some(paths) };
        let (mut stage_batch, mtu) = (paths.lend(direction), paths.mtu);
        drop(paths);
        self.shared.note_stage_call();
        stages.process_while(direction, &mut stage_batch, mtu, &|| self.is_mine());
        *now_ns = clock::boottime_ns();
        match self.sit_down() {
            Some(mut paths) => {
                paths.take_back(direction, stage_batch);
                Some(paths)
            }
            None => {
                self.handle.commands.post([DataCommand::Abandoned(direction, stage_batch)]);
                None
            }
        }
    }

    /// The paths after a call, unless another thread has taken the handle: that one gives them up only
    /// for calls of its own, so it is not waited for.
    fn sit_down(&self) -> Option<MutexGuard<'_, DataPlane>> {
        self.is_mine().then(|| self.handle.lock()).filter(|_| self.is_mine())
    }

    /// Whether this thread still has its handle.
    fn is_mine(&self) -> bool {
        self.handle.generation() == self.generation
    }

    /// What stages emitted between batches goes on.
    fn serve_pending<'s>(
        &'s self,
        mut paths: MutexGuard<'s, DataPlane>,
        now_ns: &mut u64,
    ) -> Step<'s> {
        let Some(stages) = &self.shared.stages else { return Ok(Some(paths)) };
        for direction in Direction::BOTH {
            if paths.serves(direction) && stages.has_pending(direction) {
                paths.begin(direction, *now_ns);
                match self.through_stages(paths, direction, now_ns)? {
                    Some(after) => paths = after,
                    None => return Ok(None),
                }
            }
        }
        Ok(Some(paths))
    }

    /// When stages want the time; they get it from the thread that reads the TUN.
    fn stages_due_ns(&self, paths: &DataPlane) -> Option<u64> {
        paths.outbound.as_ref().and(self.shared.stages.as_ref()).and_then(|stages| stages.due_ns())
    }

    /// When something has to be done whether or not anything arrives.
    fn tick_ns(&self, paths: &DataPlane) -> Option<u64> {
        let retired_ns = paths.retired.as_ref().map(|retired| retired.until_ns);
        [self.stages_due_ns(paths), retired_ns].into_iter().flatten().min()
    }

    fn tick<'s>(
        &'s self,
        paths: MutexGuard<'s, DataPlane>,
        now_ns: &mut u64,
    ) -> Option<MutexGuard<'s, DataPlane>> {
        let Some(stages) = &self.shared.stages else { return Some(paths) };
        if self.stages_due_ns(&paths).is_none_or(|due_ns| due_ns > *now_ns) {
            return Some(paths);
        }
        drop(paths);
        self.shared.note_stage_call();
        stages.tick(*now_ns);
        *now_ns = clock::boottime_ns();
        self.sit_down()
    }
}

/// Runs a thread's body; an error or a panic in it closes the tunnel with a reason.
pub(crate) fn guarded(shared: &Shared, body: impl FnOnce() -> io::Result<()>) {
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body));
    match outcome {
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

#[cfg(test)]
mod tests;
