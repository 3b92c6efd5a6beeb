//! Verdicts of a stage, and the batch that follows from them.

use super::*;
use crate::{
    frame::NO_PEER,
    stage_api::CountAdjustment,
    stages::{
        filter::{Field, Filter, Predicate},
        state::Reason,
        verdicts::VerdictError,
    },
};

#[test]
fn without_verdicts_a_batch_is_unchanged() {
    let chain = chain_of(options("one"), |_| Ok(()));
    let mut stage_batch = stage_batch(&packets(3));
    let before = stage_batch.batch.frames.clone();
    chain.process(Direction::Inbound, &mut stage_batch, MTU);
    assert_eq!((stage_batch.batch.frames, stage_batch.adjustments.len()), (before, 0));
}

#[test]
fn drop_insert_and_replace_keep_the_order() {
    let chain = chain_of(options("one"), |call| {
        let verdicts = &mut call.verdicts;
        verdicts.drop(0, Reason::NO_ROOM).unwrap();
        verdicts.insert(1, &packet(10)).unwrap();
        verdicts.insert(3, &packet(30)).unwrap();
        verdicts.replace(2, &packet(20)).unwrap();
        assert_eq!(verdicts.replace(0, &packet(5)), Err(VerdictError::AlreadyDecided));
        assert_eq!(verdicts.drop(3, Reason::NO_ROOM), Err(VerdictError::NoSuchRow));
        Ok(())
    });
    let mut stage_batch = stage_batch(&packets(3));
    chain.process(Direction::Inbound, &mut stage_batch, MTU);
    assert_eq!(sequence(&stage_batch), [10, 1, 20, 30]);
    assert_eq!(chain.slots()[0].counts().drops, [("no_room".into(), 1)].into());
}

#[test]
fn frames_outside_the_filter_keep_their_places() {
    let predicates = vec![Predicate::Number(Field::Length, vec![0..=48])];
    let filtered = SlotOptions { filter: Some(Filter { predicates }), ..options("filtered") };
    let chain = chain_of(filtered, |call| {
        assert_eq!(call.verdicts.len(), 2);
        call.verdicts.drop(0, Reason::NO_ROOM).unwrap();
        call.verdicts.mark(1, 7).unwrap();
        Ok(())
    });
    let mut packets = packets(4);
    for long in [1, 3] {
        packets[long] = Build { sequence: long as u32, ..Build::tcp4() }.payload(99).bytes();
    }
    let mut stage_batch = stage_batch(&packets);
    chain.process(Direction::Outbound, &mut stage_batch, MTU);
    assert_eq!(sequence(&stage_batch), [1, 2, 3]);
    assert_eq!(stage_batch.batch.frames.iter().map(|f| f.mark).collect::<Vec<_>>(), [0, 7, 0]);
}

#[test]
fn segments_of_a_split_frame_take_its_place() {
    let chain = chain_of(options("one"), |call| {
        let Call { stage_batch, verdicts, .. } = call;
        let rows = verdicts.split(1, &stage_batch.buffer, &stage_batch.batch.slices).unwrap();
        assert_eq!(rows, 3..6);
        verdicts.drop(4, Reason::NO_ROOM).unwrap();
        Ok(())
    });
    let mut packets = packets(3);
    packets[1] = Build { sequence: 100, ..Build::tcp4() }.payload(250).bytes();
    let mut stage_batch = stage_batch(&packets);
    stage_batch.batch.frames[1].segments = 3;
    stage_batch.batch.frames[1].segment_size = 100;
    chain.process(Direction::Outbound, &mut stage_batch, MTU);
    assert_eq!(sequence(&stage_batch), [0, 100, 300, 2]);
    assert!(stage_batch.batch.frames.iter().all(|frame| frame.segments == 1));
    assert_eq!(
        stage_batch.adjustments,
        [CountAdjustment { peer: PeerId(0), segments: 1, created: false }]
    );
}

#[test]
fn emitted_frames_go_before_the_batch() {
    let mut held: Vec<HeldFrame> = Vec::new();
    let chain = chain_of(options("holds"), move |call| {
        for frame in held.drain(..) {
            emit(call, frame, Direction::Inbound);
        }
        held.push(hold(call, call.verdicts.len() - 1));
        // Held and emitted in the same call: it returns to its place.
        let unheld = hold(call, 1);
        emit(call, unheld, Direction::Inbound);
        Ok(())
    });
    let mut first = stage_batch(&packets(3));
    chain.process(Direction::Inbound, &mut first, MTU);
    assert_eq!(sequence(&first), [0, 1]);
    assert_eq!(chain.slots()[0].counts().held_segments, 1);
    let mut second = stage_batch(&packets(3));
    chain.process(Direction::Inbound, &mut second, MTU);
    assert_eq!(sequence(&second), [2, 0, 1]);
    assert_eq!(second.adjustments, []);
}

#[test]
fn the_ecn_field_is_set_at_once_and_on_held_frames() {
    let mut held: Vec<HeldFrame> = Vec::new();
    let chain = chain_of(options("marks"), move |call| {
        for frame in held.drain(..) {
            emit(call, frame, Direction::Inbound);
        }
        for row in 0..call.verdicts.len() {
            call.verdicts.set_ecn(row, 0b11).unwrap();
            let Call { stage_batch, verdicts, .. } = &call;
            let bytes =
                verdicts.bytes(row, &stage_batch.buffer, &stage_batch.batch.slices).unwrap();
            assert_eq!(parse(&bytes, 0).unwrap().ds & 0b11, 0b11);
            held.push(hold(call, row));
        }
        Ok(())
    });
    chain.process(Direction::Inbound, &mut stage_batch(&packets(2)), MTU);
    let mut second = stage_batch(&packets(1));
    chain.process(Direction::Inbound, &mut second, MTU);
    let marks = second.batch.frames.iter().map(|frame| (frame.ds, frame.bytes(&second.buffer)[1]));
    assert_eq!(marks.collect::<Vec<_>>(), [(0b11, 0b11), (0b11, 0b11)]);
}

#[test]
fn an_answer_takes_the_other_direction_behind_its_stage() {
    let answers: Body = Box::new(|call| {
        if call.verdicts.direction() == Direction::Outbound {
            call.verdicts.answer(0, &packet(99)).unwrap();
        }
        Ok(())
    });
    let behind: Body = Box::new(|call| {
        assert_eq!(call.verdicts.direction(), Direction::Inbound);
        Ok(())
    });
    let chain = chain(vec![(options("answers"), answers), (options("behind"), behind)]);
    let mut outbound = stage_batch(&packets(1));
    chain.process(Direction::Outbound, &mut outbound, MTU);
    assert_eq!(sequence(&outbound), [] as [u32; 0]);
    assert!(chain.has_pending(Direction::Inbound));
    let mut inbound = stage_batch(&[]);
    chain.process(Direction::Inbound, &mut inbound, MTU);
    assert_eq!(sequence(&inbound), [99]);
    assert_eq!(
        inbound.adjustments,
        [CountAdjustment { peer: PeerId(NO_PEER), segments: 1, created: true }]
    );
    assert_eq!(chain.slots()[1].counts().frames, 1);
}

#[test]
fn a_new_destination_counts_for_another_peer() {
    let chain = chain_of(options("one"), |call| {
        let packet = Build { destination: 9, ..Build::tcp4() }.payload(8).bytes();
        call.verdicts.replace(0, &packet).unwrap();
        Ok(())
    });
    let mut stage_batch = stage_batch(&packets(1));
    chain.process(Direction::Outbound, &mut stage_batch, MTU);
    assert_eq!(stage_batch.batch.frames[0].peer, NO_PEER);
    let adjustment = |peer, created| CountAdjustment { peer: PeerId(peer), segments: 1, created };
    assert_eq!(stage_batch.adjustments, [adjustment(0, false), adjustment(NO_PEER, true)]);
}
