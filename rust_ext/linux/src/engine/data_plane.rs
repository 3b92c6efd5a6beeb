//! The data plane: one path or both, the sockets they use, and the lock around them.
//!
//! A data thread holds the lock except while the user's stages process a batch. If such a call stalls, the
//! control thread takes the lock and serves commands, handshakes, cookies and keepalives; it drops the
//! tunnel's data as `stage_stalled`. The thread that holds the lock draws the counters, in the order of the wire.

use std::{
    io,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
};

use pyfw_core::{
    stage_api::{Direction, StageBatch},
    sync,
};

use super::{
    inbound_worker::InboundWorker,
    mailbox::Mailbox,
    outbound_worker::OutboundWorker,
    shared::{ControlMessage, DataCommand, Shared, Sockets},
};

/// A data plane, its commands, and the generation of the data thread that runs it.
pub(crate) struct DataPlaneHandle {
    pub(crate) commands: Arc<Mailbox<DataCommand>>,
    plane: Mutex<DataPlane>,
    /// A thread of an older generation was replaced while it was inside a stage: it must not touch the plane.
    generation: AtomicU64,
}

impl DataPlaneHandle {
    pub(crate) fn new(plane: DataPlane) -> io::Result<Self> {
        let generation = AtomicU64::new(0);
        Ok(Self { commands: Arc::new(Mailbox::new()?), plane: Mutex::new(plane), generation })
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(SeqCst)
    }

    /// Starts the next generation and returns it. The caller shows that it holds the lock.
    pub(crate) fn next_generation(&self, _plane: &mut DataPlane) -> u64 {
        self.generation.fetch_add(1, SeqCst) + 1
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, DataPlane> {
        sync::lock(&self.plane)
    }

    /// Locks the plane unless a thread is working on it.
    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, DataPlane>> {
        sync::try_lock(&self.plane)
    }
}

/// How long replaced sockets are still read, for datagrams that peers sent before they learnt the new port:
/// a round trip on most networks.
const GRACE_NS: u64 = 300_000_000;

/// Sockets that were replaced. They are read, and nothing is sent by them.
pub(crate) struct Retired {
    pub(crate) sockets: Arc<Sockets>,
    pub(crate) until_ns: u64,
}

/// One of the sockets that a data plane reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SocketId {
    pub(crate) is_ipv4: bool,
    pub(crate) is_retired: bool,
}

/// The paths of one data thread, and their state between drains.
pub(crate) struct DataPlane {
    pub(crate) outbound: Option<OutboundWorker>,
    pub(crate) inbound: Option<InboundWorker>,
    pub(crate) sockets: Arc<Sockets>,
    pub(crate) retired: Option<Retired>,
    /// Commands of the thread that runs the other path, if it has one of its own.
    pub(crate) other_thread: Option<Arc<Mailbox<DataCommand>>>,
    pub(crate) mtu: usize,
    /// `DataCommand::Stop` has arrived.
    pub(crate) stop: bool,
}

/// What the data plane does with a batch in either direction.
pub(crate) trait Worker {
    /// Starts an empty batch.
    fn begin(&mut self, now_ns: u64);
    /// Takes the batch out, for the user's stages.
    fn take_batch(&mut self) -> StageBatch;
    /// Puts the batch back after the stages.
    fn restore_batch(&mut self, batch: StageBatch);
    /// Sends or writes the batch.
    fn finish(&mut self, shared: &Shared, now_ns: u64) -> io::Result<()>;
    /// Drops a batch that was taken out, as `stage_stalled`.
    fn drop_stalled(&mut self, batch: StageBatch);
}

impl DataPlane {
    // Packets

    /// Returns the worker of a direction, if this plane runs it.
    pub(crate) fn worker(&mut self, direction: Direction) -> Option<&mut dyn Worker> {
        match direction {
            Direction::Outbound => self.outbound.as_mut().map(|worker| worker as _),
            Direction::Inbound => self.inbound.as_mut().map(|worker| worker as _),
        }
    }

    /// Whether this plane runs a direction and can begin a batch.
    pub(crate) fn can_begin(&self, direction: Direction) -> bool {
        match direction {
            Direction::Outbound => self.outbound.as_ref().is_some_and(|path| !path.is_blocked()),
            Direction::Inbound => self.inbound.is_some(),
        }
    }

    /// Reads and routes one drain of the TUN. Returns whether there was a frame.
    pub(crate) fn read_tun(&mut self, shared: &Shared, now_ns: u64) -> io::Result<bool> {
        match &mut self.outbound {
            Some(outbound) if !outbound.is_blocked() => outbound.read(shared, now_ns),
            _ => Ok(false),
        }
    }

    /// Receives one drain of a socket. Returns whether there was a datagram.
    pub(crate) fn receive(&mut self, id: SocketId, shared: &Shared) -> io::Result<bool> {
        let sockets = match &self.retired {
            _ if !id.is_retired => &self.sockets,
            Some(retired) => &retired.sockets,
            None => return Ok(false),
        };
        match (&mut self.inbound, sockets.of_family(id.is_ipv4)) {
            (Some(inbound), Some(socket)) => inbound.receive(socket, !id.is_retired, shared),
            _ => Ok(false),
        }
    }

    /// Decrypts what was received last, and runs the commands for the outbound path that follow from it: they
    /// take effect before the payload can be answered.
    pub(crate) fn decrypt(&mut self, shared: &Shared, now_ns: u64) {
        let Some(inbound) = &mut self.inbound else { return };
        inbound.decrypt(shared, now_ns);
        let commands = inbound.outbound_commands();
        if commands.is_empty() {
            return;
        }
        match (&mut self.outbound, &self.other_thread) {
            (Some(outbound), _) => {
                commands.drain(..).for_each(|command| outbound.handle_command(command, now_ns));
                outbound.flush(shared, now_ns);
            }
            (None, Some(other)) => other.post(commands.drain(..).map(DataCommand::Outbound)),
            (None, None) => commands.clear(),
        }
    }

    /// Sends what can be sent now.
    pub(crate) fn flush(&mut self, shared: &Shared, now_ns: u64) {
        if let Some(outbound) = &mut self.outbound {
            outbound.flush(shared, now_ns);
        }
    }

    /// Whether the newest GSO batch is held back, to be extended by the next drain.
    pub(crate) fn holds_tail(&self) -> bool {
        self.outbound.as_ref().is_some_and(OutboundWorker::holds_tail)
    }

    /// Whether a full socket blocks the outbound path.
    pub(crate) fn is_blocked(&self) -> bool {
        self.outbound.as_ref().is_some_and(OutboundWorker::is_blocked)
    }

    // Commands and reports

    /// Runs the commands in order, and sends what they made possible.
    pub(crate) fn run_commands(
        &mut self,
        commands: &mut Vec<DataCommand>,
        shared: &Shared,
        now_ns: u64,
    ) {
        for command in commands.drain(..) {
            match command {
                DataCommand::Outbound(command) => {
                    if let Some(outbound) = &mut self.outbound {
                        outbound.handle_command(command, now_ns);
                    }
                }
                DataCommand::Inbound(command) => {
                    if let Some(inbound) = &mut self.inbound {
                        inbound.handle_command(command);
                    }
                }
                DataCommand::Rebind(sockets) => self.rebind(sockets, now_ns),
                DataCommand::Mtu(mtu) => {
                    self.mtu = mtu;
                    if let Some(outbound) = &mut self.outbound {
                        outbound.set_mtu(mtu);
                    }
                }
                DataCommand::IcmpErrors(packets) => {
                    if let Some(inbound) = &mut self.inbound {
                        inbound.write_icmp_errors(&packets, shared);
                    }
                }
                DataCommand::Wake => {}
                DataCommand::DropStalled(direction, batch) => {
                    if let Some(worker) = self.worker(direction) {
                        worker.drop_stalled(batch);
                    }
                }
                DataCommand::Stop => self.stop = true,
            }
        }
        self.flush(shared, now_ns);
    }

    fn rebind(&mut self, sockets: Arc<Sockets>, now_ns: u64) {
        let replaced = std::mem::replace(&mut self.sockets, Arc::clone(&sockets));
        if let Some(inbound) = &mut self.inbound {
            inbound.rebind();
            self.retired = Some(Retired { sockets: replaced, until_ns: now_ns + GRACE_NS });
        }
        if let Some(outbound) = &mut self.outbound {
            outbound.rebind(sockets);
        }
    }

    /// Closes replaced sockets at the end of their grace period.
    pub(crate) fn close_retired(&mut self, now_ns: u64) {
        self.retired.take_if(|retired| retired.until_ns <= now_ns);
    }

    /// Passes the outbound path's ICMP errors to the inbound path, and the reports of both to the control
    /// thread.
    pub(crate) fn report(&mut self, shared: &Shared) {
        if let Some(icmp_errors) = self.outbound.as_mut().map(OutboundWorker::icmp_errors) {
            if !icmp_errors.is_empty() {
                match (&mut self.inbound, &self.other_thread) {
                    (Some(inbound), _) => inbound.write_icmp_errors(icmp_errors, shared),
                    (None, Some(other)) => {
                        other.post([DataCommand::IcmpErrors(icmp_errors.clone())]);
                    }
                    (None, None) => {}
                }
                icmp_errors.clear();
            }
        }
        let outbound = self.outbound.as_mut().map(OutboundWorker::reports);
        let inbound = self.inbound.as_mut().map(InboundWorker::reports);
        for reports in [outbound, inbound].into_iter().flatten() {
            if !reports.is_empty() {
                shared.control.post(reports.drain(..).map(ControlMessage::Report));
            }
        }
    }

    // Stalled stages

    /// Serves everything except data while a stage call is stalled.
    pub(crate) fn serve_stalled(
        &mut self,
        commands: &mut Vec<DataCommand>,
        shared: &Shared,
        now_ns: u64,
    ) -> io::Result<()> {
        self.run_commands(commands, shared, now_ns);
        if self.read_tun(shared, now_ns)? {
            self.drop_batch(Direction::Outbound);
        }
        for is_ipv4 in [true, false] {
            if self.receive(SocketId { is_ipv4, is_retired: false }, shared)? {
                self.decrypt(shared, now_ns);
                self.drop_batch(Direction::Inbound);
            }
        }
        self.flush(shared, now_ns);
        self.report(shared);
        Ok(())
    }

    fn drop_batch(&mut self, direction: Direction) {
        if let Some(worker) = self.worker(direction) {
            let batch = worker.take_batch();
            worker.drop_stalled(batch);
        }
    }
}
