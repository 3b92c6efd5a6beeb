//! What one data thread works on: one path or both, and the sockets they use.
//!
//! The thread owns it by a lock that it gives up only while the user's stages have a batch. Where
//! such a call does not return in time, control takes the lock and serves what must go on: commands,
//! handshakes, cookies, keepalives. In: see the workers. Drops: then, the tunnel's data as
//! `stage_stalled`. Order: counters are drawn by whoever holds the lock, in the order of the wire.

use std::{
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, TryLockError,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
};

use pyfw_core::stages::{Direction, Loan};

use super::{
    inbound_worker::InboundWorker,
    mailbox::Mailbox,
    outbound_worker::OutboundWorker,
    shared::{ControlMail, DataCommand, Shared, Sockets},
};
use crate::sys::udp::UdpSocket;

/// Where a data thread sits: what it is told, and what it works on.
pub(crate) struct Seat {
    pub(crate) commands: Arc<Mailbox<DataCommand>>,
    paths: Mutex<Paths>,
    /// How many threads have sat here; one that was left behind in a stage finds that it changed.
    sitting: AtomicU64,
}

impl Seat {
    pub(crate) fn new(paths: Paths) -> io::Result<Self> {
        let sitting = AtomicU64::new(0);
        Ok(Self { commands: Arc::new(Mailbox::new()?), paths: Mutex::new(paths), sitting })
    }

    /// The number of the thread that sits here.
    pub(crate) fn sitting(&self) -> u64 {
        self.sitting.load(SeqCst)
    }

    /// Makes room for another thread; whoever has sat here leaves. Called with the paths in hand.
    pub(crate) fn take_over(&self, _paths: &mut Paths) -> u64 {
        self.sitting.fetch_add(1, SeqCst) + 1
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Paths> {
        self.paths.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The paths, where no thread is at work on them.
    pub(crate) fn vacant(&self) -> Option<MutexGuard<'_, Paths>> {
        match self.paths.try_lock() {
            Ok(paths) => Some(paths),
            Err(TryLockError::Poisoned(paths)) => Some(paths.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
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
pub(crate) struct Paths {
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

impl Paths {
    /// Carries out the waiting commands in order, and sends what they made possible.
    pub(crate) fn carry_out(
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
                DataCommand::Refusals(packets) => {
                    if let Some(inbound) = &mut self.inbound {
                        inbound.answer(&packets, shared);
                    }
                }
                DataCommand::Look => {}
                DataCommand::Abandoned(direction, loan) => self.abandon(direction, loan),
                DataCommand::Stop => self.stop = true,
            }
        }
        self.settle(shared, now_ns);
    }

    /// Tells outbound what inbound has learnt, before the drain is written and answered.
    pub(crate) fn tell_outbound(&mut self, shared: &Shared, now_ns: u64) {
        let Some(news) = self.inbound.as_mut().map(InboundWorker::news) else { return };
        if news.is_empty() {
            return;
        }
        match (&mut self.outbound, &self.neighbour) {
            (Some(outbound), _) => {
                news.drain(..).for_each(|command| outbound.handle_command(command, now_ns));
                self.settle(shared, now_ns);
            }
            (None, Some(neighbour)) => neighbour.post(news.drain(..).map(DataCommand::Outbound)),
            (None, None) => news.clear(),
        }
    }

    /// Sends what can be sent now.
    pub(crate) fn settle(&mut self, shared: &Shared, now_ns: u64) {
        if let Some(outbound) = &mut self.outbound {
            outbound.settle(shared, now_ns);
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
    pub(crate) fn let_go(&mut self, now_ns: u64) {
        self.retired.take_if(|retired| retired.until_ns <= now_ns);
    }

    /// Says how long the TUN's queue may be.
    pub(crate) fn judge_queue(&mut self, shared: &Shared, now_ns: u64) {
        if let Some(outbound) = &mut self.outbound {
            outbound.judge_queue(shared, now_ns);
        }
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
        if let Some(refusals) = self.outbound.as_mut().map(OutboundWorker::refusals) {
            if !refusals.is_empty() {
                match (&mut self.inbound, &self.neighbour) {
                    (Some(inbound), _) => inbound.answer(refusals, shared),
                    (None, Some(neighbour)) => {
                        neighbour.post([DataCommand::Refusals(refusals.clone())]);
                    }
                    (None, None) => {}
                }
                refusals.clear();
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
    pub(crate) fn lend(&mut self, direction: Direction) -> Loan {
        match direction {
            Direction::Outbound => self.outbound.as_mut().map(OutboundWorker::lend),
            Direction::Inbound => self.inbound.as_mut().map(InboundWorker::lend),
        }
        .unwrap_or_default()
    }

    /// Takes it back.
    pub(crate) fn take_back(&mut self, direction: Direction, loan: Loan) {
        match direction {
            Direction::Outbound => {
                if let Some(outbound) = &mut self.outbound {
                    outbound.take_back(loan);
                }
            }
            Direction::Inbound => {
                if let Some(inbound) = &mut self.inbound {
                    inbound.take_back(loan);
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
    fn abandon(&mut self, direction: Direction, loan: Loan) {
        match (direction, &mut self.outbound, &mut self.inbound) {
            (Direction::Outbound, Some(outbound), _) => outbound.abandon(loan),
            (Direction::Inbound, _, Some(inbound)) => inbound.abandon(loan),
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
        self.carry_out(commands, shared, now_ns);
        if self.serves(Direction::Outbound) {
            if let Some(outbound) = &mut self.outbound {
                if outbound.read(shared, now_ns)? {
                    let loan = outbound.lend();
                    outbound.abandon(loan);
                }
            }
        }
        let sockets = Arc::clone(&self.sockets);
        if let Some(inbound) = &mut self.inbound {
            for socket in sockets.both() {
                if inbound.receive(socket, true, shared)? {
                    inbound.open(shared, now_ns);
                    let loan = inbound.lend();
                    inbound.abandon(loan);
                }
            }
        }
        self.tell_outbound(shared, now_ns);
        self.settle(shared, now_ns);
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
