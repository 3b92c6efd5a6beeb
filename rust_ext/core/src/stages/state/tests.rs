use super::*;
use crate::packet::{build::Build, parse};

const LIMIT: HoldLimit = HoldLimit { frames: 4, bytes: 1 << 20 };

fn hold(ledger: &Ledger, call: u64, place: u32) -> Held {
    let bytes = Build::tcp4().payload(10).bytes();
    let frame = parse(&bytes, 0).unwrap();
    ledger.hold(Direction::Inbound, frame, bytes, 1, call, place, place)
}

fn pass(ledger: &Ledger, call: u64, place: u32) {
    let frame = parse(&Build::tcp4().bytes(), 0).unwrap();
    ledger.passed(Direction::Inbound, call, [(place, &frame)].into_iter());
}

#[test]
fn a_frame_that_was_overtaken_is_not_emitted_and_stays_held() {
    let ledger = Ledger::new(LIMIT, false);
    let mut held = Some(hold(&ledger, 1, 0));
    pass(&ledger, 1, 1);
    let error = ledger.emit(&mut held, Direction::Inbound).unwrap_err();
    assert_eq!((error, ledger.counts().held_frames), (EmitError::Overtaken, 1));
    ledger.emit(&mut held, Direction::Outbound).unwrap();
    assert!(held.is_none());
    assert_eq!(ledger.counts().drops, [("turned".to_owned(), 1)].into());
}

#[test]
fn frames_of_a_flow_are_emitted_in_the_order_in_which_they_came() {
    let ledger = Ledger::new(LIMIT, false);
    let both = |ledger: &Ledger| [hold(ledger, 1, 0), hold(ledger, 1, 1)].map(Some);
    let [mut first, mut second] = both(&ledger);
    ledger.emit(&mut second, Direction::Inbound).unwrap();
    assert_eq!(ledger.emit(&mut first, Direction::Inbound), Err(EmitError::Overtaken));
    let reordering = Ledger::new(LIMIT, true);
    let [mut first, mut second] = both(&reordering);
    reordering.emit(&mut second, Direction::Inbound).unwrap();
    reordering.emit(&mut first, Direction::Inbound).unwrap();
}

#[test]
fn a_forgotten_frame_is_booked_once_and_one_of_a_stopped_stage_is_gone() {
    let ledger = Ledger::new(LIMIT, false);
    let (forgotten, kept) = (hold(&ledger, 1, 0), hold(&ledger, 1, 1));
    ledger.forget(&forgotten);
    ledger.forget(&forgotten);
    ledger.stop();
    assert_eq!(ledger.emit(&mut Some(kept), Direction::Inbound), Err(EmitError::Gone));
    let (mut emitted, mut bookings) = (Vec::new(), Vec::new());
    ledger.take(Direction::Inbound, &mut emitted, &mut bookings);
    assert_eq!((emitted.len(), bookings.len(), ledger.counts().held_segments), (0, 2, 0));
    assert!(!ledger.has_pending(Direction::Inbound));
}

#[test]
fn names_are_bounded_in_number_and_form() {
    let ledger = Ledger::new(LIMIT, false);
    assert_eq!(ledger.reason("raised"), Some(Reason::RAISED));
    assert_eq!((ledger.reason(""), ledger.reason("a b")), (None, None));
    for number in 0..NAMES_MAX {
        assert!(ledger.reason(&format!("r{number}")).is_some());
        assert!(ledger.count(&format!("c{number}"), 1));
    }
    assert_eq!((ledger.reason("more"), ledger.count("more", 1)), (None, false));
    assert_eq!(ledger.reason("r0"), ledger.reason("r0"));
}
