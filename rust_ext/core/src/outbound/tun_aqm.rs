//! tun_aqm: tells senders to slow down if a queue stands at the TUN (active queue management, RFC 7567).
//!
//! In: a drain's frames, and whether the drain emptied the TUN. Out: the same frames; when CoDel (RFC 8289)
//! signals, the first one is marked CE if it is ECN-capable, else it loses its first segment, or is dropped if it
//! has fewer than three. Drops: those segments, as `congested`. Order: no frame is moved.
//!
//! A TUN does not report how long a frame has waited, and the kernel has no CoDel in front of one, only a ring
//! that drops whole frames at its tail. A frame has waited at most since the first of the latest drains that all
//! left something in the TUN: a queue that a drain empties does not stand.

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

/// The stage.
#[derive(Debug, Default)]
pub(crate) struct TunAqm {
    codel: Codel,
    /// The time of the first of the latest drains that all left something.
    stands_since_ns: Option<u64>,
}

impl TunAqm {
    /// Processes one drain; `emptied`: it read all that waited in the TUN.
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
        let dropped = if drop_first(frame, buffer) { 1 } else { batch.frames.remove(0).segments };
        tally.entered += u64::from(dropped);
        tally.drop(OutboundDrop::Congested, u64::from(dropped));
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

    /// A drain of one frame, and its buffer.
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

    /// The packets of 12 drains, one each 10 ms, none of which empties the TUN.
    fn standing(build: &Build, segments: u16) -> (Vec<Vec<Vec<u8>>>, OutboundTally) {
        let (mut tun_aqm, mut tally) = (TunAqm::default(), OutboundTally::default());
        let drains = (0..12).map(|n| {
            let (mut batch, mut buffer) = drain(build, segments, 10 * n);
            tun_aqm.process(&mut batch, &mut buffer, false, &mut tally);
            batch.frames.first().map(|frame| all(frame, frame.bytes(&buffer))).unwrap_or_default()
        });
        (drains.collect(), tally)
    }

    #[test]
    fn a_queue_that_drains_empty_is_left_alone() {
        let (mut tun_aqm, mut tally) = (TunAqm::default(), OutboundTally::default());
        for n in 0..1000 {
            let (mut batch, mut buffer) = drain(&Build::tcp4(), 10, n);
            let before = (batch.frames.clone(), buffer.clone());
            // Each drain that leaves something is soon followed by one that does not.
            tun_aqm.process(&mut batch, &mut buffer, n % 90 == 0, &mut tally);
            assert_eq!((batch.frames, buffer), before);
        }
        assert_eq!(tally, OutboundTally::default());
    }

    #[test]
    fn drains_far_apart_see_no_standing_queue() {
        let (mut tun_aqm, mut tally) = (TunAqm::default(), OutboundTally::default());
        for at_ms in [1, 1000, 5000] {
            let (mut batch, mut buffer) = drain(&Build::tcp4(), 10, at_ms);
            tun_aqm.process(&mut batch, &mut buffer, false, &mut tally);
            let mut empty = FrameBatch { received_ns: batch.received_ns, ..FrameBatch::default() };
            tun_aqm.process(&mut empty, &mut buffer, true, &mut tally);
        }
        assert_eq!(tally, OutboundTally::default());
    }

    #[test]
    fn a_standing_queue_drops_one_segment_of_a_frame() {
        for build in [Build::tcp4(), Build::tcp6()] {
            let (drains, tally) = standing(&build, 10);
            let lengths: Vec<usize> = drains.iter().map(Vec::len).collect();
            // The second drain is the first that sees a wait, and 100 ms later CoDel signals.
            assert_eq!(lengths, [10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 9]);
            assert_eq!(drains[11], drains[10][1..]);
            assert_eq!((tally.entered, tally.dropped(), tally.marked), (1, 1, 0));
        }
    }

    #[test]
    fn a_frame_of_few_segments_is_dropped_whole() {
        for segments in [1, 2] {
            let (drains, tally) = standing(&Build::udp4(), segments);
            assert_eq!(drains[11], Vec::<Vec<u8>>::new());
            let dropped = u64::from(segments);
            assert_eq!((tally.entered, tally.dropped()), (dropped, dropped));
        }
    }

    #[test]
    fn an_ecn_capable_frame_is_marked_in_every_segment() {
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
