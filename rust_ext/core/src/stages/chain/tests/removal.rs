//! Stages that are removed during a call or under traffic.

use std::{collections::VecDeque, thread};

use super::*;
use crate::stages::state::EmitError;

#[test]
fn a_stage_removed_during_its_call_loses_no_count() {
    let held = Arc::new(Mutex::new(Vec::new()));
    let cell: Arc<Mutex<Option<Arc<Chain>>>> = Arc::default();
    let (holds, removes) = (Arc::clone(&held), Arc::clone(&cell));
    let chain = Arc::new(chain_of(options("removed"), move |call| {
        let chain = removes.lock().unwrap().take().unwrap();
        holds.lock().unwrap().push(hold(call, 0));
        chain.set(Vec::new());
        // Meanwhile the other path takes what removed stages have pending.
        chain.process(Direction::Outbound, &mut stage_batch(&[]), MTU);
        holds.lock().unwrap().push(hold(call, 1));
        call.verdicts.answer(2, &Build::udp4().bytes()).unwrap();
        Ok(())
    }));
    let slot = Arc::clone(&chain.slots()[0]);
    *cell.lock().unwrap() = Some(Arc::clone(&chain));
    let mut inbound = stage_batch(&packets(4));
    chain.process(Direction::Inbound, &mut inbound, MTU);
    assert_eq!(sequence(&inbound), [3]);
    let dropped: u64 = inbound.adjustments.iter().map(|adjustment| adjustment.segments).sum();
    assert_eq!((dropped, slot.counts().held_segments), (3, 0));
    assert_eq!(slot.counts().drops, [("answered".into(), 1), ("stopped".into(), 2)].into());
    for held in held.lock().unwrap().drain(..) {
        let emitted = slot.handle().emit(&mut Some(held), Direction::Inbound);
        assert_eq!(emitted, Err(EmitError::NotHeld));
    }
    let mut outbound = stage_batch(&[]);
    chain.process(Direction::Outbound, &mut outbound, MTU);
    assert_eq!(outbound.batch.frames.len(), 1);
}

/// Adds and removes a stage that delays every frame, again and again under traffic, and asserts that frames
/// keep their order.
fn assert_ordered_while_removed(remove: fn(&Chain, &Slot)) {
    const BATCHES: u32 = 20_000;
    let chain = Arc::new(chain(vec![]));
    let done = AtomicBool::new(false);
    let mut arrived = Vec::new();
    thread::scope(|threads| {
        threads.spawn(|| {
            while !done.load(SeqCst) {
                let held = Arc::new(Mutex::new(VecDeque::<HeldFrame>::new()));
                let holds = Arc::clone(&held);
                let body = move |call: &mut Call| {
                    for row in 0..call.verdicts.len() {
                        holds.lock().unwrap().push_back(hold(call, row));
                    }
                    Ok(())
                };
                let slot = chain.slot(options("delays"), Box::new(Closure(Box::new(body))));
                chain.set(vec![Arc::clone(&slot)]);
                for _ in 0..20 {
                    let oldest = held.lock().unwrap().pop_front();
                    if oldest.is_some() {
                        slot.handle().emit(&mut { oldest }, Direction::Inbound).unwrap();
                    }
                    thread::yield_now();
                }
                remove(&chain, &slot);
            }
        });
        for number in 0..BATCHES {
            let mut stage_batch = stage_batch(&[packet(number)]);
            if chain.has_stages(Direction::Inbound) || chain.has_pending(Direction::Inbound) {
                chain.process(Direction::Inbound, &mut stage_batch, MTU);
            }
            arrived.extend(sequence(&stage_batch));
        }
        done.store(true, SeqCst);
    });
    assert!(arrived.len() > 100, "{}", arrived.len());
    assert!(arrived.is_sorted(), "{:?}", arrived.windows(2).find(|pair| pair[0] > pair[1]));
}

#[test]
fn frames_keep_their_order_when_stages_are_replaced() {
    assert_ordered_while_removed(|chain, _| chain.set(vec![]));
}

#[test]
fn frames_keep_their_order_when_a_failed_stage_is_removed() {
    assert_ordered_while_removed(|_, slot| slot.remove("it failed"));
}

#[test]
fn a_late_batch_reaches_no_further_stage() {
    let stage = |name| -> Stage { (options(name), Box::new(|_| Ok(()))) };
    let chain = chain(vec![stage("stalls"), stage("behind")]);
    let calls = |chain: &Chain| chain.slots().iter().map(|s| s.counts().calls).collect::<Vec<_>>();
    let mut late = stage_batch(&packets(2));
    let is_current = || chain.slots()[0].counts().calls == 0;
    chain.process_while(Direction::Inbound, &mut late, MTU, &is_current);
    assert_eq!((calls(&chain), sequence(&late)), (vec![1, 0], vec![0, 1]));
    chain.process(Direction::Inbound, &mut stage_batch(&packets(2)), MTU);
    assert_eq!(calls(&chain), [2, 1]);
}
