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
    pub(crate) fn put(
        &mut self,
        due_ns: u64,
        source: SocketAddr,
        destination: SocketAddr,
        ds: u8,
        bytes: Vec<u8>,
    ) {
        self.number += 1;
        let number = self.number;
        self.heap.push(Reverse(InFlight { due_ns, number, source, destination, ds, bytes }));
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

    /// Sends one datagram over the wire; tells `fate` all that happens to it.
    #[allow(clippy::too_many_arguments)] // a datagram, its way, and where it goes
    pub(crate) fn send(
        &mut self,
        wire: &mut Wire,
        now_ns: u64,
        source: SocketAddr,
        destination: SocketAddr,
        ds: u8,
        bytes: &[u8],
        mut fate: impl FnMut(Fate),
    ) {
        self.sent += 1;
        let (end, number) = (self.end, self.sent);
        let mut tell = |what| fate(Fate { time_ns: now_ns, end, number, what });
        let plan = self.plan;
        let headers = if destination.is_ipv4() { 28 } else { 48 };
        let length = headers + bytes.len();
        if plan.mtu != 0 && length > plan.mtu {
            return tell("too_big");
        }
        if self.is_lost() {
            return tell("lost");
        }
        let mut due_ns = now_ns;
        if plan.rate_bps != 0 {
            let start_ns = self.free_at_ns.max(now_ns);
            if plan.queue_ns != 0 && start_ns - now_ns > plan.queue_ns {
                return tell("queue_full");
            }
            let takes_ns = (length as u128 * 8 * 1_000_000_000 / u128::from(plan.rate_bps)) as u64;
            self.free_at_ns = start_ns + takes_ns;
            due_ns = self.free_at_ns;
        }
        due_ns += plan.delay_ns + self.random.below(plan.jitter_ns);
        if self.random.happens(plan.reorder) {
            due_ns += plan.reorder_ns;
            tell("reordered");
        }
        let mut ds = ds;
        // A router marks what is ECN-capable (RFC 3168 §5).
        if matches!(ds & 0b11, 0b01 | 0b10) && self.random.happens(plan.ce) {
            ds |= 0b11;
            tell("marked");
        }
        let mut bytes = bytes.to_vec();
        if self.random.happens(plan.duplicate) {
            tell("duplicated");
            wire.put(due_ns, source, destination, ds, bytes.clone());
        }
        if self.random.happens(plan.corrupt) {
            let bit = self.random.below(bytes.len() as u64 * 8) as usize;
            bytes[bit / 8] ^= 1 << (bit % 8);
            tell("corrupted");
        }
        wire.put(due_ns, source, destination, ds, bytes);
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
