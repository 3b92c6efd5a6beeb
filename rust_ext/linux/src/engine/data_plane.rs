//! What one data thread works on: one path or both, and the sockets they use.
//!
//! The thread owns it by a lock that it gives up only while the user's stages have a batch. Where
//! such a call does not return in time, control takes the lock and serves what must go on: commands,
//! handshakes, cookies, keepalives. In: see the workers. Drops: then, the tunnel's data as
//! `stage_stalled`. Order: counters are drawn by whoever holds the lock, in the order of the wire.

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
    shared::{ControlMail, DataCommand, Shared, Sockets},
};
use crate::sys::udp::UdpSocket;

/// Where a data thread sits: what it is told, and what it works on.
pub(crate) struct DataPlaneHandle {
    pub(crate) commands: Arc<Mailbox<DataCommand>>,
    paths: Mutex<DataPlane>,
    /// How many threads have sat here; one that was left behind in a stage finds that it changed.
    generation: AtomicU64,
}

impl DataPlaneHandle {
    pub(crate) fn new(paths: DataPlane) -> io::Result<Self> {
        let generation = AtomicU64::new(0);
        Ok(Self { commands: Arc::new(Mailbox::new()?), paths: Mutex::new(paths), generation })
    }

    /// The number of the thread that sits here.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(SeqCst)
    }

    /// Makes room for another thread; whoever has sat here leaves. Called with the paths in hand.
    pub(crate) fn take_over(&self, _paths: &mut DataPlane) -> u64 {
        self.generation.fetch_add(1, SeqCst) + 1
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, DataPlane> {
        sync::lock(&self.paths)
    }

    /// The paths, where no thread is at work on them.
    pub(crate) fn vacant(&self) -> Option<MutexGuard<'_, DataPlane>> {
        sync::try_lock(&self.paths)
    }
}

/// How long sockets that were given up are still read: for what was under way to their port when the
/// other ends learnt of the new one. A way there and back on most networks.
const GRACE_NS: u64 = 300_000_000;

/// Sockets that were given up.
pub(crate) struct Retired {
    pub(crate) sockets: Arc<Sockets>,
    pub(crate) until_ns: u64,
}

/// See the module.
pub(crate) struct DataPlane {
    pub(crate) outbound: Option<OutboundWorker>,
    pub(crate) inbound: Option<InboundWorker>,
    pub(crate) sockets: Arc<Sockets>,
    /// Those before, for a moment; nothing is sent by them.
    pub(crate) retired: Option<Retired>,
    /// Where the other path is told something, if it has a thread of its own.
    pub(crate) neighbour: Option<Arc<Mailbox<DataCommand>>>,
    pub(crate) mtu: usize,
    /// A command came to end.
    pub(crate) stop: bool,
}

impl DataPlane {
    /// Carries out the waiting commands in order, and sends what they made possible.
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
                        inbound.answer(&packets, shared);
                    }
                }
                DataCommand::Look => {}
                DataCommand::Abandoned(direction, stage_batch) => {
                    self.abandon(direction, stage_batch)
                }
                DataCommand::Stop => self.stop = true,
            }
        }
        self.flush(shared, now_ns);
    }

    /// Tells outbound what inbound has learnt, before the drain is written and answered.
    pub(crate) fn tell_outbound(&mut self, shared: &Shared, now_ns: u64) {
        let Some(outbound_commands) = self.inbound.as_mut().map(InboundWorker::outbound_commands)
        else {
            return;
        };
        if outbound_commands.is_empty() {
            return;
        }
        match (&mut self.outbound, &self.neighbour) {
            (Some(outbound), _) => {
                outbound_commands
                    .drain(..)
                    .for_each(|command| outbound.handle_command(command, now_ns));
                self.flush(shared, now_ns);
            }
            (None, Some(neighbour)) => {
                neighbour.post(outbound_commands.drain(..).map(DataCommand::Outbound))
            }
            (None, None) => outbound_commands.clear(),
        }
    }

    /// Sends what can be sent now.
    pub(crate) fn flush(&mut self, shared: &Shared, now_ns: u64) {
        if let Some(outbound) = &mut self.outbound {
            outbound.flush(shared, now_ns);
        }
    }

    fn rebind(&mut self, sockets: Arc<Sockets>, now_ns: u64) {
        let before = std::mem::replace(&mut self.sockets, Arc::clone(&sockets));
        if let Some(inbound) = &mut self.inbound {
            inbound.rebind();
            self.retired = Some(Retired { sockets: before, until_ns: now_ns + GRACE_NS });
        }
        if let Some(outbound) = &mut self.outbound {
            outbound.rebind(sockets);
        }
    }

    /// Closes sockets that were given up long enough ago.
    pub(crate) fn close_retired(&mut self, now_ns: u64) {
        self.retired.take_if(|retired| retired.until_ns <= now_ns);
    }

    /// Whether a batch waits to be filled by what is read next.
    pub(crate) fn keeps_tail(&self) -> bool {
        self.outbound.as_ref().is_some_and(OutboundWorker::keeps_tail)
    }

    /// Whether a full socket holds the outbound path up.
    pub(crate) fn is_blocked(&self) -> bool {
        self.outbound.as_ref().is_some_and(OutboundWorker::is_blocked)
    }

    /// Tells senders what outbound dropped, and control what the paths noticed.
    pub(crate) fn report(&mut self, shared: &Shared) {
        if let Some(icmp_errors) = self.outbound.as_mut().map(OutboundWorker::icmp_errors) {
            if !icmp_errors.is_empty() {
                match (&mut self.inbound, &self.neighbour) {
                    (Some(inbound), _) => inbound.answer(icmp_errors, shared),
                    (None, Some(neighbour)) => {
                        neighbour.post([DataCommand::IcmpErrors(icmp_errors.clone())]);
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
                shared.control.post(reports.drain(..).map(ControlMail::Report));
            }
        }
    }

    // Stages

    /// Whether a direction is served here, and may begin a batch.
    pub(crate) fn serves(&self, direction: Direction) -> bool {
        match direction {
            Direction::Outbound => self.outbound.as_ref().is_some_and(|path| !path.is_blocked()),
            Direction::Inbound => self.inbound.is_some(),
        }
    }

    /// Starts an empty batch.
    pub(crate) fn begin(&mut self, direction: Direction, now_ns: u64) {
        match direction {
            Direction::Outbound => {
                if let Some(outbound) = &mut self.outbound {
                    outbound.begin(now_ns);
                }
            }
            Direction::Inbound => {
                if let Some(inbound) = &mut self.inbound {
                    inbound.begin(now_ns);
                }
            }
        }
    }

    /// Lends a batch to the user's stages.
    pub(crate) fn lend(&mut self, direction: Direction) -> StageBatch {
        match direction {
            Direction::Outbound => self.outbound.as_mut().map(OutboundWorker::lend),
            Direction::Inbound => self.inbound.as_mut().map(InboundWorker::lend),
        }
        .unwrap_or_default()
    }

    /// Takes it back.
    pub(crate) fn take_back(&mut self, direction: Direction, stage_batch: StageBatch) {
        match direction {
            Direction::Outbound => {
                if let Some(outbound) = &mut self.outbound {
                    outbound.take_back(stage_batch);
                }
            }
            Direction::Inbound => {
                if let Some(inbound) = &mut self.inbound {
                    inbound.take_back(stage_batch);
                }
            }
        }
    }

    /// Sends or writes a batch behind its stages.
    pub(crate) fn release(
        &mut self,
        direction: Direction,
        shared: &Shared,
        now_ns: u64,
    ) -> io::Result<()> {
        match (direction, &mut self.outbound, &mut self.inbound) {
            (Direction::Outbound, Some(outbound), _) => outbound.send(shared, now_ns),
            (Direction::Inbound, _, Some(inbound)) => return inbound.write(shared),
            _ => {}
        }
        Ok(())
    }

    /// Drops a batch that came back when another thread sat here.
    fn abandon(&mut self, direction: Direction, stage_batch: StageBatch) {
        match (direction, &mut self.outbound, &mut self.inbound) {
            (Direction::Outbound, Some(outbound), _) => outbound.abandon(stage_batch),
            (Direction::Inbound, _, Some(inbound)) => inbound.abandon(stage_batch),
            _ => {}
        }
    }

    /// What goes on while a stage does not return: all but data.
    pub(crate) fn serve_stalled(
        &mut self,
        commands: &mut Vec<DataCommand>,
        shared: &Shared,
        now_ns: u64,
    ) -> io::Result<()> {
        self.run_commands(commands, shared, now_ns);
        if self.serves(Direction::Outbound) {
            if let Some(outbound) = &mut self.outbound {
                if outbound.read(shared, now_ns)? {
                    let stage_batch = outbound.lend();
                    outbound.abandon(stage_batch);
                }
            }
        }
        let sockets = Arc::clone(&self.sockets);
        if let Some(inbound) = &mut self.inbound {
            for socket in sockets.both() {
                if inbound.receive(socket, true, shared)? {
                    inbound.open(shared, now_ns);
                    let stage_batch = inbound.lend();
                    inbound.abandon(stage_batch);
                }
            }
        }
        self.tell_outbound(shared, now_ns);
        self.flush(shared, now_ns);
        self.report(shared);
        Ok(())
    }
}

impl Sockets {
    /// One or two.
    pub(crate) fn both(&self) -> impl Iterator<Item = &UdpSocket> {
        std::iter::once(&self.v4).chain(self.v6.as_ref())
    }
}
