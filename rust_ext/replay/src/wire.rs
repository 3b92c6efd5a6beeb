//! The virtual wire: datagrams, when they arrive, and what happened to them on the way.
//!
//! In: datagrams as an end sends them. Out: the same at the moments at which they arrive, some
//! never, some twice. Drops: what the impairment says, each with its fate. Order: datagrams that
//! arrive at one moment arrive in the order in which they were sent.

use std::{cmp::Reverse, collections::BinaryHeap, net::SocketAddr};

use crate::{
    plan::{Fate, Impairment},
    random::Seeded,
};

/// One datagram on its way.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct InFlight {
    pub(crate) due_ns: u64,
    /// Breaks ties: the order of sending.
    number: u64,
    pub(crate) source: SocketAddr,
    pub(crate) destination: SocketAddr,
    pub(crate) ds: u8,
    pub(crate) bytes: Vec<u8>,
    pub(crate) label: Label,
}

/// What a record says of a datagram.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Label {
    /// The packet's number.
    pub(crate) id: u64,
    pub(crate) by_hub: bool,
    pub(crate) fates: Vec<&'static str>,
}

impl InFlight {
    pub(crate) fn new(
        source: SocketAddr,
        destination: SocketAddr,
        ds: u8,
        bytes: Vec<u8>,
        label: Label,
    ) -> Self {
        Self { due_ns: 0, number: 0, source, destination, ds, bytes, label }
    }
}

/// What is under way, earliest first.
#[derive(Debug, Default)]
pub(crate) struct Wire {
    heap: BinaryHeap<Reverse<InFlight>>,
    number: u64,
}

impl Wire {
    /// When the next datagram arrives.
    pub(crate) fn next_due_ns(&self) -> Option<u64> {
        self.heap.peek().map(|Reverse(datagram)| datagram.due_ns)
    }

    /// The next datagram that has arrived by `now_ns`.
    pub(crate) fn take(&mut self, now_ns: u64) -> Option<InFlight> {
        if self.next_due_ns()? > now_ns {
            return None;
        }
        self.heap.pop().map(|Reverse(datagram)| datagram)
    }

    /// Puts a datagram on the wire, to arrive at `due_ns`.
    pub(crate) fn put(&mut self, due_ns: u64, datagram: InFlight) {
        self.number += 1;
        self.heap.push(Reverse(InFlight { due_ns, number: self.number, ..datagram }));
    }
}

/// What decides over the datagrams of one end.
#[derive(Debug)]
pub(crate) struct Impairer {
    plan: Impairment,
    random: Seeded,
    end: usize,
    sent: u64,
    /// Inside a run of losses.
    losing: bool,
    /// When the rate limit lets the next datagram go.
    free_at_ns: u64,
}

impl Impairer {
    pub(crate) fn new(plan: Impairment, end: usize, random: Seeded) -> Self {
        Self { plan, random, end, sent: 0, losing: false, free_at_ns: 0 }
    }

    /// Whether datagrams pass at once and unchanged.
    pub(crate) fn is_transparent(&self) -> bool {
        self.plan == Impairment::default()
    }

    /// Sends one datagram over the wire; tells `fate` all that happens to it. Returns one that will
    /// not arrive.
    pub(crate) fn send(
        &mut self,
        wire: &mut Wire,
        now_ns: u64,
        mut datagram: InFlight,
        mut fate: impl FnMut(Fate),
    ) -> Option<InFlight> {
        self.sent += 1;
        let (end, number) = (self.end, self.sent);
        let mut tell = |datagram: &mut InFlight, what| {
            datagram.label.fates.push(what);
            fate(Fate { time_ns: now_ns, end, number, what });
        };
        let plan = self.plan;
        let headers = if datagram.destination.is_ipv4() { 28 } else { 48 };
        let length = headers + datagram.bytes.len();
        if plan.mtu != 0 && length > plan.mtu {
            tell(&mut datagram, "too_big");
            return Some(datagram);
        }
        if self.is_lost() {
            tell(&mut datagram, "lost");
            return Some(datagram);
        }
        let mut due_ns = now_ns;
        if plan.rate_bps != 0 {
            let start_ns = self.free_at_ns.max(now_ns);
            if plan.queue_ns != 0 && start_ns - now_ns > plan.queue_ns {
                tell(&mut datagram, "queue_full");
                return Some(datagram);
            }
            let takes_ns = (length as u128 * 8 * 1_000_000_000 / u128::from(plan.rate_bps)) as u64;
            self.free_at_ns = start_ns + takes_ns;
            due_ns = self.free_at_ns;
        }
        due_ns += plan.delay_ns + self.random.below(plan.jitter_ns);
        if self.random.happens(plan.reorder) {
            due_ns += plan.reorder_ns;
            tell(&mut datagram, "reordered");
        }
        // A router marks what is ECN-capable (RFC 3168 §5).
        if matches!(datagram.ds & 0b11, 0b01 | 0b10) && self.random.happens(plan.ce) {
            datagram.ds |= 0b11;
            tell(&mut datagram, "marked");
        }
        if self.random.happens(plan.duplicate) {
            tell(&mut datagram, "duplicated");
            wire.put(due_ns, datagram.clone());
        }
        if self.random.happens(plan.corrupt) {
            let bit = self.random.below(datagram.bytes.len() as u64 * 8) as usize;
            datagram.bytes[bit / 8] ^= 1 << (bit % 8);
            tell(&mut datagram, "corrupted");
        }
        wire.put(due_ns, datagram);
        None
    }

    /// Independent losses, or a Gilbert model whose bad state loses all: left with probability
    /// 1/burst, entered so often that the share of losses is `loss`.
    fn is_lost(&mut self) -> bool {
        let Impairment { loss, loss_burst, .. } = self.plan;
        if loss_burst <= 1.0 {
            return self.random.happens(loss);
        }
        let leave = 1.0 / loss_burst;
        let enter = if loss >= 1.0 { 1.0 } else { loss * leave / (1.0 - loss) };
        self.losing = match self.losing {
            true => loss >= 1.0 || !self.random.happens(leave),
            false => self.random.happens(enter),
        };
        self.losing
    }
}
