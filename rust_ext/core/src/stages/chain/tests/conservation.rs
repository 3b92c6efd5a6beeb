//! Whatever a stage does, entered + created = left + dropped + held, and what leaves can be sent.

use proptest::prelude::*;

use super::*;
use crate::{packet::split::Segments, stages::state::Reason};

/// One batch: segments of each frame, actions as (row, which), how many held frames are emitted, and whether
/// the call fails.
type Script = (Vec<u16>, Vec<(usize, u8)>, usize, bool);

/// Gives a verdict, by number. It may be refused: an earlier one may have decided the row.
fn act(call: &mut Call, held: &mut Vec<HeldFrame>, row: usize, action: u8) {
    let packet = Build::udp4().payload(64).bytes();
    let row = row % call.verdicts.len();
    let Call { stage_batch, verdicts, number, handle, .. } = call;
    let (buffer, slices) = (&stage_batch.buffer, &stage_batch.batch.slices);
    match action {
        0 => drop(verdicts.drop(row, Reason::NO_ROOM)),
        1 => drop(verdicts.replace(row, &packet)),
        2 => drop(verdicts.replace(row, &Build::tcp4().payload(5000).bytes())),
        3 => drop(verdicts.insert(row, &packet)),
        4 => drop(verdicts.split(row, buffer, slices)),
        5 => drop(verdicts.answer(row, &packet)),
        6 => drop(verdicts.set_ecn(row, 3)),
        _ => {
            if let Ok((frame, bytes)) = verdicts.hold(row, buffer, slices) {
                let position = verdicts.position(row);
                let place = Place { call: *number, row: row as u32, position };
                let direction = verdicts.direction();
                held.push(handle.state().hold(direction, frame, bytes, 1, place));
            }
        }
    }
}

fn assert_conserved(batches: Vec<Script>) {
    let script = Arc::new(Mutex::new((Vec::new(), 0, false)));
    let reads = Arc::clone(&script);
    let mut held = Vec::new();
    let random = SlotOptions { reorders: true, ..options("random") };
    let chain = chain_of(random, move |call| {
        let (actions, emits, failing): (Vec<(usize, u8)>, usize, bool) =
            reads.lock().unwrap().clone();
        for (row, action) in actions {
            act(call, &mut held, row, action);
        }
        for frame in held.drain(..emits.min(held.len())) {
            emit(call, frame, Direction::Outbound);
        }
        if failing { fails() } else { Ok(()) }
    });
    let (mut entered, mut left, mut created, mut dropped) = (0, 0, 0, 0);
    for (sizes, actions, emits, failing) in batches {
        *script.lock().unwrap() = (actions, emits, failing);
        let payloads = sizes.iter().map(|&size| usize::from(size) * 100);
        let packets: Vec<_> = payloads.map(|n| Build::tcp4().payload(n).bytes()).collect();
        let mut stage_batch = stage_batch(&packets);
        for (frame, size) in stage_batch.batch.frames.iter_mut().zip(&sizes) {
            if *size > 1 {
                (frame.segments, frame.segment_size) = (*size, 100);
            }
            entered += u64::from(*size);
        }
        chain.process(Direction::Outbound, &mut stage_batch, MTU);
        for frame in &stage_batch.batch.frames {
            let segments = Segments::new(frame, frame.bytes(&stage_batch.buffer));
            assert_eq!(segments.count(), usize::from(frame.segments));
            assert_eq!(parse(frame.bytes(&stage_batch.buffer), 0).unwrap().length, frame.length);
            left += u64::from(frame.segments);
        }
        for adjustment in &stage_batch.adjustments {
            *if adjustment.created { &mut created } else { &mut dropped } += adjustment.segments;
        }
    }
    let counts = chain.slots()[0].counts();
    assert_eq!(entered + created, left + dropped + counts.held_segments);
    assert_eq!(dropped, counts.drops.values().sum::<u64>());
    assert_eq!(created, counts.created);
}

proptest! {
    #[test]
    fn segments_are_conserved_whatever_a_stage_does(
        batches in prop::collection::vec(
            (
                prop::collection::vec(1_u16..5, 1..6),
                prop::collection::vec((0_usize..40, 0_u8..9), 0..12),
                0_usize..3,
                any::<bool>(),
            ),
            1..6,
        ),
    ) {
        assert_conserved(batches);
    }
}

#[test]
fn a_failed_call_that_holds_a_nested_segment_loses_nothing() {
    assert_conserved(vec![(vec![3], vec![(0, 4), (3, 2), (11, 4), (4, 7)], 0, true)]);
}
