use super::*;
use crate::packet::{build::Build, parse};

const LIMIT: HoldLimit = HoldLimit { frames: 4, bytes: 1 << 20 };

fn hold(state: &StageState, call: u64, row: u32) -> HeldFrame {
    let bytes = Build::tcp4().payload(10).bytes();
    let frame = parse(&bytes, 0).unwrap();
    state.hold(Direction::Inbound, frame, bytes, 1, Place { call, row, position: row })
}

fn pass(state: &StageState, call: u64, position: u32) {
    let frame = parse(&Build::tcp4().bytes(), 0).unwrap();
    state.record_passed(Direction::Inbound, call, [(position, &frame)].into_iter());
}

#[test]
fn an_overtaken_frame_is_not_emitted_and_stays_held() {
    let state = StageState::new(LIMIT, false);
    let mut held = Some(hold(&state, 1, 0));
    pass(&state, 1, 1);
    let error = state.emit(&mut held, Direction::Inbound).unwrap_err();
    assert_eq!((error, state.counts().held_frames), (EmitError::Overtaken, 1));
    state.emit(&mut held, Direction::Outbound).unwrap();
    assert!(held.is_none());
    assert_eq!(state.counts().drops, [("turned".to_owned(), 1)].into());
}

#[test]
fn a_flow_is_emitted_in_order_unless_the_stage_reorders() {
    let state = StageState::new(LIMIT, false);
    let both = |state: &StageState| [hold(state, 1, 0), hold(state, 1, 1)].map(Some);
    let [mut first, mut second] = both(&state);
    state.emit(&mut second, Direction::Inbound).unwrap();
    assert_eq!(state.emit(&mut first, Direction::Inbound), Err(EmitError::Overtaken));
    let reordering = StageState::new(LIMIT, true);
    let [mut first, mut second] = both(&reordering);
    reordering.emit(&mut second, Direction::Inbound).unwrap();
    reordering.emit(&mut first, Direction::Inbound).unwrap();
}

#[test]
fn forgotten_and_stopped_frames_are_counted_once() {
    let state = StageState::new(LIMIT, false);
    let (forgotten, stopped) = (hold(&state, 1, 0), hold(&state, 1, 1));
    state.forget(&forgotten);
    state.forget(&forgotten);
    state.stop();
    assert_eq!(state.emit(&mut Some(stopped), Direction::Inbound), Err(EmitError::NotHeld));
    let (mut emitted, mut adjustments) = (Vec::new(), Vec::new());
    state.take_pending(Direction::Inbound, &mut emitted, &mut adjustments);
    assert_eq!((emitted.len(), adjustments.len(), state.counts().held_segments), (0, 2, 0));
    assert!(!state.has_pending(Direction::Inbound));
}
