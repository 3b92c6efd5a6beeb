//! Stages whose calls fail.

use super::*;
use crate::stages::state::Reason;

#[test]
fn a_failed_call_drops_or_passes_its_frames() {
    for pass in [false, true] {
        let failing = SlotOptions { pass_on_error: pass, ..options("fails") };
        let chain = chain_of(failing, |call| {
            call.verdicts.replace(0, &Build::udp4().bytes()).unwrap();
            call.verdicts.insert(1, &Build::udp4().bytes()).unwrap();
            call.verdicts.drop(1, Reason::NO_ROOM).unwrap();
            fails()
        });
        let mut stage_batch = stage_batch(&packets(3));
        chain.process(Direction::Inbound, &mut stage_batch, MTU);
        let counts = chain.slots()[0].counts();
        let expected = match pass {
            true => (vec![0, 1, 2], [].into()),
            false => (vec![], [("raised".to_owned(), 3)].into()),
        };
        assert_eq!((sequence(&stage_batch), counts.drops), expected);
        assert_eq!((counts.failures, chain.take_notices().len()), (1, 1));
    }
}

#[test]
fn after_too_many_failures_a_stage_is_removed() {
    let chain = chain_of(SlotOptions { failures: 3, ..options("fails") }, |_| fails());
    for call in 0..4 {
        let mut stage_batch = stage_batch(&packets(1));
        chain.process(Direction::Inbound, &mut stage_batch, MTU);
        assert_eq!(stage_batch.batch.frames.len(), usize::from(call == 3));
    }
    let notices = chain.take_notices();
    let notices: Vec<_> = notices.iter().map(|n| (n.message, n.times)).collect();
    // The clock stands still: failures after the first are reported with the last.
    assert_eq!(notices, [("stage.raised", 1), ("stage.raised", 2), ("stage.removed", 1)]);
    assert!(!chain.has_stages(Direction::Inbound));
}

#[test]
fn a_call_that_succeeds_resets_the_failure_count() {
    let mut calls = 0;
    let chain = chain_of(SlotOptions { failures: 2, ..options("rare") }, move |_| {
        calls += 1;
        if calls % 1000 == 0 { fails() } else { Ok(()) }
    });
    for _ in 0..5000 {
        chain.process(Direction::Inbound, &mut stage_batch(&packets(1)), MTU);
    }
    let counts = chain.slots()[0].counts();
    assert_eq!((counts.calls, counts.failures), (5000, 5));
    assert_eq!(counts.drops, [("raised".into(), 5)].into());
}
