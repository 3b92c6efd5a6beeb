//! One flow: what was sent, what came, and in which order.
//!
//! Two numbers say different things. *Early*: as Linux's receiver counts out-of-order segments
//! (TCPOFOQueue): a TCP segment beyond the next byte expected. Elsewhere, where no receiver counts,
//! one that came while an earlier one was still under way. *Late*: RFC 4737's reordered packet, one
//! that came after another that was sent behind it.

use std::collections::VecDeque;

use crate::plan::Mark;

/// Segments remembered while they are under way; what is further behind counts as lost. Twice the
/// replay window of WireGuard, behind which nothing is accepted.
const WINDOW: usize = 16_384;
/// Delivered segments remembered, to know one that comes again.
const REMEMBERED: usize = 1024;
/// Arrivals among which the extent of a reordering is looked for.
const RECENT: usize = 1024;
/// Segments after which a TCP sender takes a late one for lost (RFC 5681 §3.2).
const DUPLICATE_ACKS: u64 = 3;

/// One segment, as either side sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    /// Hash of what must arrive unchanged.
    pub(crate) content: u64,
    /// Bytes of payload.
    pub(crate) length: u32,
    /// TCP: the sequence number, and the numbers it takes (payload, SYN, FIN).
    pub(crate) tcp: Option<(u32, u32)>,
}

/// Counts of one flow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FlowCounts {
    /// Segments that entered a TUN.
    pub segments: u64,
    /// Their payload bytes.
    pub bytes: u64,
    /// Different segments that left the other TUN.
    pub delivered: u64,
    /// Segments that left it again.
    pub duplicates: u64,
    /// See the head of the file.
    pub early: u64,
    /// See the head of the file.
    pub late: u64,
    /// Largest reordering extent (RFC 4737 §4.2.1), in packets.
    pub extent: u64,
    /// How far the latest segment was displaced, in segments of the flow.
    pub distance: u64,
    /// Runs of segments that never came.
    pub gaps: u64,
    /// Late ones that a TCP sender would have sent again: their extent is 3 or more.
    pub spurious: u64,
    /// Segments that left the TUN and were never sent: their bytes are not those of the capture.
    pub strange: u64,
}

/// The state behind the counts.
#[derive(Debug, Default)]
pub(crate) struct Flow {
    pub(crate) counts: FlowCounts,
    /// Segments sent, oldest first, the first of them with number `base`.
    sent: VecDeque<Sent>,
    base: u64,
    /// Where in `sent` the next arrival is expected.
    cursor: usize,
    next_expected: u64,
    /// Numbers of the last arrivals, and their marks' places.
    recent: VecDeque<Arrival>,
    sequence: Option<Sequence>,
    in_gap: bool,
}

#[derive(Debug)]
struct Sent {
    content: u64,
    delivered: bool,
}

#[derive(Debug)]
struct Arrival {
    number: u64,
    early: bool,
    point: Option<usize>,
}

/// TCP's numbers, unwrapped, and what the receiver has.
#[derive(Debug)]
struct Sequence {
    origin: u32,
    last: i64,
    next: i64,
    /// Ranges beyond `next`, in order, apart.
    held: Vec<(i64, i64)>,
}

/// What an arrival was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) position: u64,
    pub(crate) mark: Mark,
}

impl Flow {
    /// Notes a segment that entered; returns its position.
    pub(crate) fn sent(&mut self, segment: &Segment) -> u64 {
        let number = self.base + self.sent.len() as u64;
        self.counts.segments += 1;
        self.counts.bytes += u64::from(segment.length);
        self.sent.push_back(Sent { content: segment.content, delivered: false });
        while self.sent.len() > WINDOW
            || (self.sent.len() > REMEMBERED && self.sent.front().is_some_and(|s| s.delivered))
        {
            self.forget_oldest();
        }
        self.position(segment, number)
    }

    fn forget_oldest(&mut self) {
        if let Some(oldest) = self.sent.pop_front() {
            self.base += 1;
            self.cursor = self.cursor.saturating_sub(1);
            self.counts.gaps += u64::from(!oldest.delivered && !self.in_gap);
            self.in_gap = !oldest.delivered;
        }
    }

    fn position(&mut self, segment: &Segment, number: u64) -> u64 {
        let Some((sequence, _)) = segment.tcp else { return number };
        let state = self.sequence.get_or_insert(Sequence {
            origin: sequence,
            last: 0,
            next: 0,
            held: Vec::new(),
        });
        state.unwrap(sequence).max(0) as u64
    }

    /// Judges a segment that left. `point` is the place of its mark, `remark` changes an earlier
    /// one.
    pub(crate) fn arrived(
        &mut self,
        segment: &Segment,
        point: Option<usize>,
        mut remark: impl FnMut(usize, Mark),
    ) -> Verdict {
        let Some(index) = self.find(segment.content) else {
            let known = self.sent.iter().any(|s| s.content == segment.content);
            if known {
                self.counts.duplicates += 1;
            } else {
                self.counts.strange += 1;
            }
            let position = self.position(segment, self.next_expected);
            return Verdict { position, mark: Mark::Duplicate };
        };
        self.sent[index].delivered = true;
        self.cursor = index + 1;
        self.counts.delivered += 1;
        let number = self.base + index as u64;
        let position = self.position(segment, number);
        let mut mark = Mark::InOrder;
        if self.is_beyond_next(segment) {
            self.counts.early += 1;
            mark = Mark::Early;
        }
        if number >= self.next_expected {
            self.next_expected = number + 1;
        } else {
            mark = Mark::Late;
            self.late(number, &mut remark);
        }
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        let early = mark == Mark::Early;
        self.recent.push_back(Arrival { number, early, point });
        Verdict { position, mark }
    }

    /// The first segment under way with this content, looked for where it is expected first.
    fn find(&self, content: u64) -> Option<usize> {
        let fits = |index: &usize| {
            self.sent.get(*index).is_some_and(|s| s.content == content && !s.delivered)
        };
        let from = self.cursor;
        (from..self.sent.len()).find(fits).or_else(|| (0..from.min(self.sent.len())).find(fits))
    }

    fn late(&mut self, number: u64, remark: &mut impl FnMut(usize, Mark)) {
        self.counts.late += 1;
        self.counts.distance = self.counts.distance.max(self.next_expected - 1 - number);
        let oldest = self.recent.iter().position(|a| a.number > number).unwrap_or(0);
        let extent = (self.recent.len() - oldest) as u64;
        self.counts.extent = self.counts.extent.max(extent);
        self.counts.spurious += u64::from(extent >= DUPLICATE_ACKS);
        if self.sequence.is_none() {
            for arrival in self.recent.range_mut(oldest..) {
                if arrival.number > number && !arrival.early {
                    arrival.early = true;
                    self.counts.early += 1;
                    if let Some(point) = arrival.point {
                        remark(point, Mark::Early);
                    }
                }
            }
        }
    }

    /// TCP: whether the receiver has to keep the segment until others come.
    fn is_beyond_next(&mut self, segment: &Segment) -> bool {
        let (Some((sequence, takes)), Some(state)) = (segment.tcp, &mut self.sequence) else {
            return false;
        };
        takes != 0 && state.receive(sequence, takes)
    }

    /// Segments that never came, once nothing is under way any more.
    pub(crate) fn finish(&mut self) -> &FlowCounts {
        while !self.sent.is_empty() {
            self.forget_oldest();
        }
        &self.counts
    }
}

impl Sequence {
    /// The number relative to the first one sent, nearest to the last one seen.
    fn unwrap(&mut self, sequence: u32) -> i64 {
        let near = self.last as u32;
        let step = sequence.wrapping_sub(self.origin).wrapping_sub(near) as i32;
        self.last += i64::from(step);
        self.last
    }

    fn receive(&mut self, sequence: u32, takes: u32) -> bool {
        let start = self.unwrap(sequence);
        let end = start + i64::from(takes);
        if start > self.next {
            let at = self.held.partition_point(|range| range.0 < start);
            self.held.insert(at, (start, end));
            return true;
        }
        self.next = self.next.max(end);
        while let Some(&(start, end)) = self.held.first() {
            if start > self.next {
                break;
            }
            self.next = self.next.max(end);
            self.held.remove(0);
        }
        false
    }
}

#[cfg(test)]
mod tests;
