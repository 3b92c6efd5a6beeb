//! The data thread: wait, drain, process, send, repeat.
//!
//! One thread runs both directions, or each has its own. Commands run between drains; those that were posted
//! before a datagram arrived run before it is decrypted, because it may need the keys that they install.
//! While the user's stages have a batch, nothing else moves here.
//!
//! The clock is read once per wake-up, and once after each stage call. The thread sleeps as soon as nothing
//! is ready: polling 16 times first, with sched_yield, gained nothing beside busy programs and cost up to 9 %
//! of a small packet.

mod poller;

use std::{
    io,
    sync::{Arc, MutexGuard},
    time::Duration,
};

use pyfw_core::stage_api::Direction;

use self::poller::{COMMANDS, Poller, RETIRED_V4, RETIRED_V6, TIMER, TUN, UDP_V4, UDP_V6};
use super::{
    data_plane::{DataPlane, DataPlaneHandle, SocketId},
    shared::{DataCommand, Shared},
};
use crate::sys::clock;

pub(crate) struct DataThread {
    pub(crate) shared: Arc<Shared>,
    pub(crate) handle: Arc<DataPlaneHandle>,
    pub(crate) generation: u64,
}

/// The locked data plane after a step; `None` if another thread took it over.
type Step<'s> = io::Result<Option<MutexGuard<'s, DataPlane>>>;

impl DataThread {
    /// Runs until it is told to stop, the tunnel has ended, or another thread takes over.
    pub(crate) fn run(self) -> io::Result<()> {
        let mut plane = self.handle.lock();
        let mut poller = Poller::new(&self.handle, &self.shared, &plane)?;
        let mut ready = Vec::with_capacity(8);
        let mut commands = Vec::new();
        let mut was_deferred = false;
        while !self.shared.has_ended() {
            poller.update(&plane, &self.shared, self.deadline_ns(&plane))?;
            let timeout = plane.holds_tail().then_some(Duration::ZERO);
            poller.wait(timeout, &mut ready)?;
            // A tail is held for the next drain of the TUN, and if need be for one drain of the sockets
            // before it, whose acknowledgements make the TUN readable.
            let is_extended = ready.contains(&TUN);
            let is_deferred =
                plane.holds_tail() && !is_extended && !ready.is_empty() && !was_deferred;
            if plane.holds_tail() && !is_extended && !is_deferred {
                plane.flush(&self.shared, clock::boottime_ns());
            }
            was_deferred = is_deferred;
            if ready.is_empty() {
                continue;
            }
            if plane.retired.is_some() {
                // Datagrams to the old port were sent before those to the new one.
                ready.sort_by_key(|token| !matches!(*token, RETIRED_V4 | RETIRED_V6));
            }
            let mut now_ns = clock::boottime_ns();
            for &token in &ready {
                let step = match token {
                    COMMANDS => {
                        self.run_commands(&mut plane, &mut commands, now_ns);
                        Some(plane)
                    }
                    TUN => self.drain_tun(plane, &mut commands, &mut now_ns)?,
                    UDP_V4 | UDP_V6 | RETIRED_V4 | RETIRED_V6 => {
                        let socket = SocketId {
                            is_ipv4: matches!(token, UDP_V4 | RETIRED_V4),
                            is_retired: matches!(token, RETIRED_V4 | RETIRED_V6),
                        };
                        self.drain_socket(plane, socket, &mut commands, &mut now_ns)?
                    }
                    TIMER => {
                        poller.clear_timer();
                        plane.close_retired(now_ns);
                        self.tick_stages(plane, &mut now_ns)
                    }
                    _ => Some(plane),
                };
                let Some(relocked) = step else { return Ok(()) };
                plane = relocked;
            }
            let Some(relocked) = self.serve_pending(plane, &mut now_ns)? else { return Ok(()) };
            plane = relocked;
            plane.report(&self.shared);
            if plane.stop {
                plane.flush(&self.shared, now_ns);
                break;
            }
        }
        Ok(())
    }

    fn run_commands(&self, plane: &mut DataPlane, commands: &mut Vec<DataCommand>, now_ns: u64) {
        self.handle.commands.take(commands);
        plane.run_commands(commands, &self.shared, now_ns);
    }

    /// Reads, encrypts and sends one drain of the TUN.
    fn drain_tun<'s>(
        &'s self,
        mut plane: MutexGuard<'s, DataPlane>,
        commands: &mut Vec<DataCommand>,
        now_ns: &mut u64,
    ) -> Step<'s> {
        // The inbound path's commands from a batch run before the reply to it is read.
        if !self.handle.commands.is_empty() {
            self.run_commands(&mut plane, commands, *now_ns);
        }
        if plane.is_blocked() {
            // A suspended TUN is reported only for its end: EBADFD.
            self.shared.tun.is_persistent()?;
            return Ok(Some(plane));
        }
        if !plane.read_tun(&self.shared, *now_ns)? {
            return Ok(Some(plane));
        }
        self.process(plane, Direction::Outbound, now_ns)
    }

    /// Receives, decrypts and writes one drain of a socket.
    fn drain_socket<'s>(
        &'s self,
        mut plane: MutexGuard<'s, DataPlane>,
        socket: SocketId,
        commands: &mut Vec<DataCommand>,
        now_ns: &mut u64,
    ) -> Step<'s> {
        if plane.receive(socket, &self.shared)? {
            // The control thread posts a session before it sends the response that the peer answers.
            if !self.handle.commands.is_empty() {
                self.run_commands(&mut plane, commands, *now_ns);
            }
            plane.decrypt(&self.shared, *now_ns);
            match self.process(plane, Direction::Inbound, now_ns)? {
                Some(relocked) => plane = relocked,
                None => return Ok(None),
            }
        }
        if plane.is_blocked() {
            plane.flush(&self.shared, *now_ns);
        }
        Ok(Some(plane))
    }

    /// Runs the user's stages on the batch if they want it, then sends or writes it.
    fn process<'s>(
        &'s self,
        plane: MutexGuard<'s, DataPlane>,
        direction: Direction,
        now_ns: &mut u64,
    ) -> Step<'s> {
        let is_wanted =
            self.shared.stages.as_ref().is_some_and(|stages| {
                stages.has_stages(direction) || stages.has_pending(direction)
            });
        let plane =
            if is_wanted { self.call_stages(plane, direction, now_ns) } else { Some(plane) };
        let Some(mut plane) = plane else { return Ok(None) };
        if let Some(worker) = plane.worker(direction) {
            worker.finish(&self.shared, *now_ns)?;
        }
        Ok(Some(plane))
    }

    /// Runs the user's stages on the batch, and releases the lock meanwhile.
    fn call_stages<'s>(
        &'s self,
        mut plane: MutexGuard<'s, DataPlane>,
        direction: Direction,
        now_ns: &mut u64,
    ) -> Option<MutexGuard<'s, DataPlane>> {
        let Some(stages) = &self.shared.stages else { return Some(plane) };
        let Some(mut batch) = plane.worker(direction).map(|worker| worker.take_batch()) else {
            return Some(plane);
        };
        let mtu = plane.mtu;
        drop(plane);
        self.shared.note_stage_call();
        stages.process_while(direction, &mut batch, mtu, &|| self.is_current());
        *now_ns = clock::boottime_ns();
        let Some(mut plane) = self.relock() else {
            self.handle.commands.post([DataCommand::DropStalled(direction, batch)]);
            return None;
        };
        if let Some(worker) = plane.worker(direction) {
            worker.restore_batch(batch);
        }
        Some(plane)
    }

    /// Locks the plane after a stage call, unless another thread took it over. That thread releases the lock
    /// only for stage calls, so this one must not wait for it.
    fn relock(&self) -> Option<MutexGuard<'_, DataPlane>> {
        self.is_current().then(|| self.handle.lock()).filter(|_| self.is_current())
    }

    /// Whether no other thread took over.
    fn is_current(&self) -> bool {
        self.handle.generation() == self.generation
    }

    /// Processes what stages emitted or released between batches.
    fn serve_pending<'s>(
        &'s self,
        mut plane: MutexGuard<'s, DataPlane>,
        now_ns: &mut u64,
    ) -> Step<'s> {
        let Some(stages) = &self.shared.stages else { return Ok(Some(plane)) };
        for direction in Direction::BOTH {
            if plane.can_begin(direction) && stages.has_pending(direction) {
                if let Some(worker) = plane.worker(direction) {
                    worker.begin(*now_ns);
                }
                match self.process(plane, direction, now_ns)? {
                    Some(relocked) => plane = relocked,
                    None => return Ok(None),
                }
            }
        }
        Ok(Some(plane))
    }

    /// Returns when the stages want a tick. The thread that reads the TUN ticks them.
    fn stages_due_ns(&self, plane: &DataPlane) -> Option<u64> {
        plane.outbound.as_ref().and(self.shared.stages.as_ref()).and_then(|stages| stages.due_ns())
    }

    /// Returns when the thread has to wake though nothing arrives.
    fn deadline_ns(&self, plane: &DataPlane) -> Option<u64> {
        let retired_ns = plane.retired.as_ref().map(|retired| retired.until_ns);
        [self.stages_due_ns(plane), retired_ns].into_iter().flatten().min()
    }

    fn tick_stages<'s>(
        &'s self,
        plane: MutexGuard<'s, DataPlane>,
        now_ns: &mut u64,
    ) -> Option<MutexGuard<'s, DataPlane>> {
        let Some(stages) = &self.shared.stages else { return Some(plane) };
        if self.stages_due_ns(&plane).is_none_or(|due_ns| due_ns > *now_ns) {
            return Some(plane);
        }
        drop(plane);
        self.shared.note_stage_call();
        stages.tick(*now_ns);
        *now_ns = clock::boottime_ns();
        self.relock()
    }
}

#[cfg(test)]
mod tests;
