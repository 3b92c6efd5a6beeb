//! The virtual wire: datagrams in flight, and the impairments that decide when and whether each arrives.
//!
//! Datagrams that arrive at the same time arrive in the order in which they were sent.

use std::{cmp::Reverse, collections::BinaryHeap, net::SocketAddr};

use pyfw_core::time::SECOND_NS;

use crate::{plan::Impairment, random::Seeded};

/// IP and UDP headers.
const HEADERS_IPV4: usize = 28;
const HEADERS_IPV6: usize = 48;

/// A datagram on the wire.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct InFlight {
    due_ns: u64,
    /// Order of sending, for datagrams that arrive at the same time.
    number: u64,
    pub(crate) source: SocketAddr,
    pub(crate) destination: SocketAddr,
    pub(crate) ds: u8,
    pub(crate) bytes: Vec<u8>,
    pub(crate) label: RecordLabel,
}

/// Metadata of a datagram in the record.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RecordLabel {
    /// Number of the inner packet.
    pub(crate) id: u64,
    pub(crate) from_hub: bool,
    /// What happened to the datagram on the wire.
    pub(crate) events: Vec<&'static str>,
}

impl InFlight {
    pub(crate) fn new(
        source: SocketAddr,
        destination: SocketAddr,
        ds: u8,
        bytes: Vec<u8>,
        label: RecordLabel,
    ) -> Self {
        Self { due_ns: 0, number: 0, source, destination, ds, bytes, label }
    }
}

/// Datagrams in flight, earliest arrival first.
#[derive(Debug, Default)]
pub(crate) struct Wire {
    heap: BinaryHeap<Reverse<InFlight>>,
    sent: u64,
}

impl Wire {
    /// When the next datagram arrives.
    pub(crate) fn next_due_ns(&self) -> Option<u64> {
        self.heap.peek().map(|Reverse(datagram)| datagram.due_ns)
    }

    /// Takes the next datagram that has arrived by `now_ns`.
    pub(crate) fn take(&mut self, now_ns: u64) -> Option<InFlight> {
        if self.next_due_ns()? > now_ns {
            return None;
        }
        self.heap.pop().map(|Reverse(datagram)| datagram)
    }

    fn put(&mut self, due_ns: u64, datagram: InFlight) {
        self.sent += 1;
        self.heap.push(Reverse(InFlight { due_ns, number: self.sent, ..datagram }));
    }
}

/// Applies the impairment of one node to what the node sends.
#[derive(Debug)]
pub(crate) struct Impairer {
    plan: Impairment,
    random: Seeded,
    sent: u64,
    /// Within a run of losses.
    is_losing: bool,
    /// When the rate limit admits the next datagram.
    free_at_ns: u64,
}

impl Impairer {
    pub(crate) fn new(plan: Impairment, seed: u64, node: usize) -> Self {
        let random = Seeded::new(seed, 1000 + node as u64);
        Self { plan, random, sent: 0, is_losing: false, free_at_ns: 0 }
    }

    /// Whether datagrams pass immediately and unchanged.
    pub(crate) fn is_transparent(&self) -> bool {
        self.plan == Impairment::default()
    }

    /// Sends a datagram over the wire; returns it if it is dropped. Calls `on_event` with the datagram's
    /// number and the kind of each event.
    pub(crate) fn send(
        &mut self,
        wire: &mut Wire,
        now_ns: u64,
        mut datagram: InFlight,
        mut on_event: impl FnMut(u64, &'static str),
    ) -> Option<InFlight> {
        self.sent += 1;
        let number = self.sent;
        let mut record = |datagram: &mut InFlight, kind| {
            datagram.label.events.push(kind);
            on_event(number, kind);
        };
        let plan = self.plan;
        let headers = if datagram.destination.is_ipv4() { HEADERS_IPV4 } else { HEADERS_IPV6 };
        let length = headers + datagram.bytes.len();
        if plan.mtu != 0 && length > plan.mtu {
            record(&mut datagram, "too_big");
            return Some(datagram);
        }
        if self.is_lost() {
            record(&mut datagram, "lost");
            return Some(datagram);
        }
        let mut due_ns = now_ns;
        if plan.rate_bps != 0 {
            let start_ns = self.free_at_ns.max(now_ns);
            if plan.queue_ns != 0 && start_ns - now_ns > plan.queue_ns {
                record(&mut datagram, "queue_full");
                return Some(datagram);
            }
            let bits = length as u128 * 8;
            let duration_ns = (bits * u128::from(SECOND_NS) / u128::from(plan.rate_bps)) as u64;
            self.free_at_ns = start_ns + duration_ns;
            due_ns = self.free_at_ns;
        }
        due_ns += plan.delay_ns + self.random.below(plan.jitter_ns);
        if self.random.happens(plan.reorder) {
            due_ns += plan.reorder_ns;
            record(&mut datagram, "reordered");
        }
        // A router marks only ECN-capable packets (RFC 3168 §5).
        if matches!(datagram.ds & 0b11, 0b01 | 0b10) && self.random.happens(plan.ce) {
            datagram.ds |= 0b11;
            record(&mut datagram, "marked");
        }
        if self.random.happens(plan.duplicate) {
            record(&mut datagram, "duplicated");
            wire.put(due_ns, datagram.clone());
        }
        if self.random.happens(plan.corrupt) {
            let bit = self.random.below(datagram.bytes.len() as u64 * 8) as usize;
            datagram.bytes[bit / 8] ^= 1 << (bit % 8);
            record(&mut datagram, "corrupted");
        }
        wire.put(due_ns, datagram);
        None
    }

    /// Independent losses, or a Gilbert model whose bad state loses every datagram: the state ends with
    /// probability 1/burst, and starts with the probability that makes `loss` the overall fraction.
    fn is_lost(&mut self) -> bool {
        let Impairment { loss, loss_burst, .. } = self.plan;
        if loss_burst <= 1.0 {
            return self.random.happens(loss);
        }
        let end = 1.0 / loss_burst;
        let start = if loss >= 1.0 { 1.0 } else { loss * end / (1.0 - loss) };
        self.is_losing = match self.is_losing {
            true => loss >= 1.0 || !self.random.happens(end),
            false => self.random.happens(start),
        };
        self.is_losing
    }
}
