use super::*;
use crate::packet::{build::Build, parse};

const LIMIT: HoldLimit = HoldLimit { frames: 4, bytes: 1 << 20 };

fn hold(state: &StageState, call: u64, place: u32) -> Held {
    let bytes = Build::tcp4().payload(10).bytes();
    let frame = parse(&bytes, 0).unwrap();
    state.hold(Direction::Inbound, frame, bytes, 1, call, place, place)
}

fn pass(state: &StageState, call: u64, place: u32) {
    let frame = parse(&Build::tcp4().bytes(), 0).unwrap();
    state.passed(Direction::Inbound, call, [(place, &frame)].into_iter());
}

#[test]
fn a_frame_that_was_overtaken_is_not_emitted_and_stays_held() {
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
fn frames_of_a_flow_are_emitted_in_the_order_in_which_they_came() {
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
fn a_forgotten_frame_is_booked_once_and_one_of_a_stopped_stage_is_gone() {
    let state = StageState::new(LIMIT, false);
    let (forgotten, kept) = (hold(&state, 1, 0), hold(&state, 1, 1));
    state.forget(&forgotten);
    state.forget(&forgotten);
    state.stop();
    assert_eq!(state.emit(&mut Some(kept), Direction::Inbound), Err(EmitError::Gone));
    let (mut emitted, mut adjustments) = (Vec::new(), Vec::new());
    state.take(Direction::Inbound, &mut emitted, &mut adjustments);
    assert_eq!((emitted.len(), adjustments.len(), state.counts().held_segments), (0, 2, 0));
    assert!(!state.has_pending(Direction::Inbound));
}

#[test]
fn names_are_bounded_in_number_and_form() {
    let state = StageState::new(LIMIT, false);
    assert_eq!(state.reason("raised"), Some(Reason::RAISED));
    assert_eq!((state.reason(""), state.reason("a b")), (None, None));
    for number in 0..NAMES_MAX {
        assert!(state.reason(&format!("r{number}")).is_some());
        assert!(state.count(&format!("c{number}"), 1));
    }
    assert_eq!((state.reason("more"), state.count("more", 1)), (None, false));
    assert_eq!(state.reason("r0"), state.reason("r0"));
}
