//! One flow: the segments sent, the segments that arrived, and in which order.
//!
//! *Early* counts as Linux's receiver does (TCPOFOQueue): a TCP segment beyond the next expected byte. For
//! other protocols, which have no such receiver, it is a segment that arrived while an earlier one was still
//! in flight. *Late* is the reordered packet of RFC 4737: it arrived after a segment that was sent later.

use std::collections::VecDeque;

use crate::result::PointKind;

/// Most segments in flight; older ones count as lost. Twice WireGuard's replay window, behind which nothing
/// is accepted.
const MAX_IN_FLIGHT: usize = 16_384;
/// Delivered segments kept, to recognise duplicates.
const DELIVERED_KEPT: usize = 1024;
/// Recent arrivals in which the extent of a reordering is searched.
const RECENT_ARRIVALS: usize = 1024;
/// Duplicate acknowledgements after which a TCP sender retransmits (RFC 5681 §3.2).
const DUPLICATE_ACKS: u64 = 3;

/// One segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    /// Hash of the bytes that must arrive unchanged.
    pub(crate) content: u64,
    /// Payload bytes.
    pub(crate) length: u32,
    /// TCP: sequence number, and length in sequence space (payload, SYN, FIN).
    pub(crate) tcp: Option<(u32, u32)>,
}

/// Counts of one flow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FlowCounts {
    /// Segments that entered a TUN.
    pub segments: u64,
    /// Their payload bytes.
    pub bytes: u64,
    /// Distinct segments that left the other TUN.
    pub delivered: u64,
    /// Segments that left it again.
    pub duplicates: u64,
    /// Segments that arrived before an earlier one, as the module defines it.
    pub early: u64,
    /// Segments that arrived after a later one (RFC 4737).
    pub late: u64,
    /// Largest reordering extent in packets (RFC 4737 §4.2.1).
    pub extent: u64,
    /// Largest displacement of a late segment, in segments of the flow.
    pub distance: u64,
    /// Runs of segments that never arrived.
    pub gaps: u64,
    /// Late segments with an extent of 3 or more, which a TCP sender would have retransmitted.
    pub spurious: u64,
    /// Segments that left the TUN with bytes that never entered one.
    pub unmatched: u64,
}

/// The state of one flow.
#[derive(Debug, Default)]
pub(crate) struct Flow {
    pub(crate) counts: FlowCounts,
    /// Segments sent, oldest first; the first has number `base`.
    sent: VecDeque<Sent>,
    base: u64,
    /// Index in `sent` where the next arrival is expected.
    cursor: usize,
    next_expected: u64,
    recent: VecDeque<Arrival>,
    tcp: Option<TcpReceiver>,
    in_gap: bool,
}

#[derive(Debug)]
struct Sent {
    content: u64,
    is_delivered: bool,
}

/// A segment that arrived.
#[derive(Debug)]
struct Arrival {
    number: u64,
    is_early: bool,
    /// Index of its point.
    point: Option<usize>,
}

/// A TCP receiver's view, in sequence numbers relative to the first one sent.
#[derive(Debug)]
struct TcpReceiver {
    first: u32,
    last_seen: i64,
    next_expected: i64,
    /// Disjoint ranges received beyond `next_expected`, in order.
    held: Vec<(i64, i64)>,
}

impl Flow {
    /// Adds a segment that entered a TUN; returns its position in the plot.
    pub(crate) fn add_sent(&mut self, segment: &Segment) -> u64 {
        let number = self.base + self.sent.len() as u64;
        self.counts.segments += 1;
        self.counts.bytes += u64::from(segment.length);
        self.sent.push_back(Sent { content: segment.content, is_delivered: false });
        while self.sent.len() > MAX_IN_FLIGHT
            || (self.sent.len() > DELIVERED_KEPT
                && self.sent.front().is_some_and(|s| s.is_delivered))
        {
            self.forget_oldest();
        }
        self.position(segment, number)
    }

    fn forget_oldest(&mut self) {
        if let Some(oldest) = self.sent.pop_front() {
            self.base += 1;
            self.cursor = self.cursor.saturating_sub(1);
            self.counts.gaps += u64::from(!oldest.is_delivered && !self.in_gap);
            self.in_gap = !oldest.is_delivered;
        }
    }

    fn position(&mut self, segment: &Segment, number: u64) -> u64 {
        let Some((sequence, _)) = segment.tcp else { return number };
        let receiver = self.tcp.get_or_insert(TcpReceiver {
            first: sequence,
            last_seen: 0,
            next_expected: 0,
            held: Vec::new(),
        });
        receiver.relative(sequence).max(0) as u64
    }

    /// Adds a segment that left a TUN; returns its position and kind. `point` is the index of its point;
    /// `set_kind` changes the kind of an earlier point.
    pub(crate) fn add_arrived(
        &mut self,
        segment: &Segment,
        point: Option<usize>,
        mut set_kind: impl FnMut(usize, PointKind),
    ) -> (u64, PointKind) {
        let Some(index) = self.find_in_flight(segment.content) else {
            if self.sent.iter().any(|s| s.content == segment.content) {
                self.counts.duplicates += 1;
            } else {
                self.counts.unmatched += 1;
            }
            return (self.position(segment, self.next_expected), PointKind::Duplicate);
        };
        self.sent[index].is_delivered = true;
        self.cursor = index + 1;
        self.counts.delivered += 1;
        let number = self.base + index as u64;
        let position = self.position(segment, number);
        let mut kind = PointKind::InOrder;
        if self.is_beyond_expected(segment) {
            self.counts.early += 1;
            kind = PointKind::Early;
        }
        if number >= self.next_expected {
            self.next_expected = number + 1;
        } else {
            kind = PointKind::Late;
            self.count_late(number, &mut set_kind);
        }
        if self.recent.len() == RECENT_ARRIVALS {
            self.recent.pop_front();
        }
        self.recent.push_back(Arrival { number, is_early: kind == PointKind::Early, point });
        (position, kind)
    }

    /// Returns the first undelivered segment with this content, searching from the expected one onwards, then
    /// before it.
    fn find_in_flight(&self, content: u64) -> Option<usize> {
        let matches = |index: &usize| {
            self.sent.get(*index).is_some_and(|s| s.content == content && !s.is_delivered)
        };
        let from = self.cursor;
        let before = || (0..from.min(self.sent.len())).find(matches);
        (from..self.sent.len()).find(matches).or_else(before)
    }

    fn count_late(&mut self, number: u64, set_kind: &mut impl FnMut(usize, PointKind)) {
        self.counts.late += 1;
        self.counts.distance = self.counts.distance.max(self.next_expected - 1 - number);
        let first_later = self.recent.iter().position(|a| a.number > number).unwrap_or(0);
        let extent = (self.recent.len() - first_later) as u64;
        self.counts.extent = self.counts.extent.max(extent);
        self.counts.spurious += u64::from(extent >= DUPLICATE_ACKS);
        if self.tcp.is_some() {
            return;
        }
        // Without TCP, the late segment shows that those before it were early.
        for arrival in self.recent.range_mut(first_later..) {
            if arrival.number > number && !arrival.is_early {
                arrival.is_early = true;
                self.counts.early += 1;
                if let Some(point) = arrival.point {
                    set_kind(point, PointKind::Early);
                }
            }
        }
    }

    /// TCP: whether the receiver must queue the segment until earlier ones arrive.
    fn is_beyond_expected(&mut self, segment: &Segment) -> bool {
        let (Some((sequence, length)), Some(receiver)) = (segment.tcp, &mut self.tcp) else {
            return false;
        };
        length != 0 && receiver.receive(sequence, length)
    }

    /// Counts the segments that never arrived; returns the final counts.
    pub(crate) fn finish(&mut self) -> &FlowCounts {
        while !self.sent.is_empty() {
            self.forget_oldest();
        }
        &self.counts
    }
}

impl TcpReceiver {
    /// Returns the sequence number relative to the first one: of those congruent modulo 2^32, the one nearest
    /// to the last.
    fn relative(&mut self, sequence: u32) -> i64 {
        let last = self.last_seen as u32;
        let step = sequence.wrapping_sub(self.first).wrapping_sub(last) as i32;
        self.last_seen += i64::from(step);
        self.last_seen
    }

    /// Receives a segment; returns whether it is out of order.
    fn receive(&mut self, sequence: u32, length: u32) -> bool {
        let start = self.relative(sequence);
        let end = start + i64::from(length);
        if start > self.next_expected {
            let at = self.held.partition_point(|range| range.0 < start);
            self.held.insert(at, (start, end));
            return true;
        }
        self.next_expected = self.next_expected.max(end);
        while let Some(&(start, end)) = self.held.first() {
            if start > self.next_expected {
                break;
            }
            self.next_expected = self.next_expected.max(end);
            self.held.remove(0);
        }
        false
    }
}

#[cfg(test)]
mod tests;
