//! tun_aqm: a queue that stands at the TUN has its senders told to slow down.
//!
//! In: a drain's frames, and whether the drain took all there was. Out: the same; one carries the signal
//! where it is due (CoDel, RFC 8289): the CE mark, where its packets can carry it, else its first segment
//! is missing, or all of it where it has not three. Drops: that, as `congested`. Order: it is the first frame
//! of a drain, and none is moved.
//!
//! Nobody can say how long a frame has waited in a TUN, and the kernel has no CoDel in front of one: a plain
//! ring, which drops whole frames at its end. But a queue that a drain leaves empty does not stand, so
//! what waits has waited no longer than since the first drain that left something.

use crate::{
    codel::Codel,
    counters::OutboundTally,
    drop_reason::OutboundDrop,
    frame::FrameBatch,
    packet::{
        ip::{self, CE, NOT_ECT},
        split::drop_first,
    },
};

/// What is known of the TUN's queue.
#[derive(Debug)]
pub(crate) struct TunAqm {
    codel: Codel,
    /// The first of the latest drains that all left something.
    stands_since_ns: Option<u64>,
}

impl TunAqm {
    pub(crate) fn new() -> Self {
        Self { codel: Codel::default(), stands_since_ns: None }
    }

    /// Looks at a drain. `emptied`: it took all there was.
    pub(crate) fn process(
        &mut self,
        batch: &mut FrameBatch,
        buffer: &mut [u8],
        emptied: bool,
        tally: &mut OutboundTally,
    ) {
        let now_ns = batch.received_ns;
        let waited_ns = self.stands_since_ns.map_or(0, |since_ns| now_ns.saturating_sub(since_ns));
        let signals = self.codel.signals(waited_ns, now_ns);
        self.stands_since_ns =
            if emptied { None } else { Some(self.stands_since_ns.unwrap_or(now_ns)) };
        let Some(frame) = batch.frames.first_mut().filter(|_| signals) else { return };
        if frame.ds & 0b11 != NOT_ECT {
            ip::mark(frame, &mut buffer[frame.offset as usize..], CE);
            tally.marked += u64::from(frame.segments);
            return;
        }
        let lost = if drop_first(frame, buffer) { 1 } else { batch.frames.remove(0).segments };
        tally.entered += u64::from(lost);
        tally.drop(OutboundDrop::Congested, u64::from(lost));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        packet::{
            build::{Build, checksums_are_right},
            parse,
            split::all,
        },
        time::MILLISECOND_NS,
    };

    /// A drain of one super-packet, or packet, and its buffer.
    fn drain(build: &Build, segments: u16, at_ms: u64) -> (FrameBatch, Vec<u8>) {
        let build = build.clone().payload(usize::from(segments) * 100);
        let bytes = build.with(|p| p.partial = segments > 1).bytes();
        let mut frame = parse(&bytes, 0).unwrap();
        if segments > 1 {
            (frame.segments, frame.segment_size) = (segments, 100);
            frame.checksum_offset = 16;
        }
        let received_ns = at_ms * MILLISECOND_NS;
        (FrameBatch { frames: vec![frame], received_ns, ..FrameBatch::default() }, bytes)
    }

    /// What comes of drains, one each 10 ms, none of which leaves the queue empty.
    fn standing(build: &Build, segments: u16) -> (Vec<Vec<Vec<u8>>>, OutboundTally) {
        let (mut tun_aqm, mut tally) = (TunAqm::new(), OutboundTally::default());
        let drains = (0..12).map(|n| {
            let (mut batch, mut buffer) = drain(build, segments, 10 * n);
            tun_aqm.process(&mut batch, &mut buffer, false, &mut tally);
            batch.frames.first().map(|frame| all(frame, frame.bytes(&buffer))).unwrap_or_default()
        });
        (drains.collect(), tally)
    }

    #[test]
    fn a_queue_that_each_drain_leaves_empty_is_left_alone() {
        let (mut tun_aqm, mut tally) = (TunAqm::new(), OutboundTally::default());
        for n in 0..1000 {
            let (mut batch, mut buffer) = drain(&Build::tcp4(), 10, n);
            let before = (batch.frames.clone(), buffer.clone());
            // A drain that leaves something, and soon one that does not.
            tun_aqm.process(&mut batch, &mut buffer, n % 90 == 0, &mut tally);
            assert_eq!((batch.frames, buffer), before);
        }
        assert_eq!(tally, OutboundTally::default());
    }

    #[test]
    fn a_drain_after_a_long_rest_finds_no_standing_queue() {
        let (mut tun_aqm, mut tally) = (TunAqm::new(), OutboundTally::default());
        for at_ms in [1, 1000, 5000] {
            let (mut batch, mut buffer) = drain(&Build::tcp4(), 10, at_ms);
            tun_aqm.process(&mut batch, &mut buffer, false, &mut tally);
            let mut nothing =
                FrameBatch { received_ns: batch.received_ns, ..FrameBatch::default() };
            tun_aqm.process(&mut nothing, &mut buffer, true, &mut tally);
        }
        assert_eq!(tally, OutboundTally::default());
    }

    #[test]
    fn a_standing_queue_costs_one_segment_of_a_frame() {
        for build in [Build::tcp4(), Build::tcp6()] {
            let (drains, tally) = standing(&build, 10);
            let lengths: Vec<usize> = drains.iter().map(Vec::len).collect();
            // It stood from the first drain on; the second is the first to know, and 100 ms later it is sure.
            assert_eq!(lengths, [10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 9]);
            assert_eq!(drains[11], drains[10][1..]);
            assert_eq!((tally.entered, tally.dropped(), tally.marked), (1, 1, 0));
        }
    }

    #[test]
    fn a_frame_of_few_segments_goes_as_a_whole() {
        for segments in [1, 2] {
            let (drains, tally) = standing(&Build::udp4(), segments);
            assert_eq!(drains[11], Vec::<Vec<u8>>::new());
            let lost = u64::from(segments);
            assert_eq!((tally.entered, tally.dropped()), (lost, lost));
        }
    }

    #[test]
    fn what_knows_ecn_is_marked_in_every_segment() {
        for build in [Build::tcp4(), Build::tcp6()] {
            let (drains, tally) = standing(&build.with(|p| p.ds = 0b10), 10);
            let ecn = |packet: &Vec<u8>| parse(packet, 0).unwrap().ds & 0b11;
            assert!(drains[10].iter().all(|packet| ecn(packet) == 0b10));
            assert!(drains[11].iter().all(|packet| ecn(packet) == CE));
            assert!(drains[11].iter().all(|packet| checksums_are_right(packet)));
            assert_eq!((drains[11].len(), tally.entered, tally.marked), (10, 0, 10));
        }
    }
}
