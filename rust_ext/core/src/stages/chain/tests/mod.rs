use std::{
    collections::VecDeque,
    sync::{Mutex, OnceLock, Weak, atomic::AtomicU64},
    thread,
};

use proptest::prelude::*;

use super::*;
use crate::{
    buffer::{Buffer, STAGE_ROOM},
    frame::{Frame, NO_PEER},
    packet::{build::Build, parse, split::Segments},
    stage_api::CountAdjustment,
    stages::{
        filter::{Field, Filter, Predicate},
        state::{EmitError, Held, HoldLimit, Reason},
        verdicts::Refused,
    },
};

/// Guests of these tests need no interpreter; the clock stands.
struct Open;

impl Runtime for Open {
    fn enter(&self, body: &mut dyn FnMut()) -> u64 {
        body();
        0
    }

    fn leave(&self, body: &mut dyn FnMut()) {
        body();
    }

    fn now_ns(&self) -> u64 {
        1
    }
}

type Body = Box<dyn FnMut(&mut Call) -> Result<(), Failure> + Send>;

struct Closure(Body);

impl StageHandler for Closure {
    fn process(&mut self, mut work: Call) -> (Call, Result<(), Failure>) {
        let result = (self.0)(&mut work);
        (work, result)
    }

    fn tick(&mut self, _: u64) -> Result<(), Failure> {
        Ok(())
    }
}

fn options(name: &str) -> SlotOptions {
    SlotOptions {
        name: name.into(),
        directions: [true, true],
        filter: None,
        reorders: false,
        pass_on_error: false,
        hold: HoldLimit { frames: 1024, bytes: 4 << 20 },
        tick_ns: 0,
        failures: 100,
        stall_ns: None,
        outcome: Outcome::Remove,
    }
}

/// Where a stage finds its slot, to emit by.
type Place = Arc<Mutex<Option<Arc<Slot>>>>;

type Stage = (SlotOptions, Box<dyn FnOnce(Place) -> Body>);

fn chain(stages: Vec<Stage>) -> Chain {
    let chain = Chain::new(Box::new(Open));
    let slots = stages
        .into_iter()
        .map(|(options, body)| {
            let place = Place::default();
            let slot = chain.slot(options, Box::new(Closure(body(Arc::clone(&place)))));
            *place.lock().unwrap() = Some(Arc::clone(&slot));
            slot
        })
        .collect();
    chain.set(slots);
    chain
}

fn one(body: impl FnMut(&mut Call) -> Result<(), Failure> + Send + 'static) -> Chain {
    chain(vec![(options("one"), Box::new(move |_| Box::new(body)))])
}

fn stage_batch(packets: &[Vec<u8>]) -> StageBatch {
    let mut stage_batch = StageBatch { buffer: Buffer::new(STAGE_ROOM), ..StageBatch::default() };
    for packet in packets {
        let offset = stage_batch.buffer.append(packet).unwrap();
        let frame = parse(packet, offset).unwrap();
        stage_batch.batch.frames.push(Frame { peer: 0, ..frame });
    }
    stage_batch
}

fn numbered(count: u32) -> Vec<Vec<u8>> {
    (0..count)
        .map(|number| Build { sequence: number, ..Build::tcp4() }.payload(8).bytes())
        .collect()
}

/// The sequence numbers of what is in the stage_batch.
fn numbers(stage_batch: &StageBatch) -> Vec<u32> {
    stage_batch
        .batch
        .frames
        .iter()
        .map(|frame| {
            u32::from_be_bytes(frame.bytes(&stage_batch.buffer)[24..28].try_into().unwrap())
        })
        .collect()
}

fn fails() -> Result<(), Failure> {
    Err(Failure(Box::new(|| "no".into())))
}

#[test]
fn without_verdicts_a_batch_comes_back_untouched() {
    let chain = one(|_| Ok(()));
    let mut stage_batch = stage_batch(&numbered(3));
    let before = stage_batch.batch.frames.clone();
    chain.process(Direction::Inbound, &mut stage_batch, 1420);
    assert_eq!((stage_batch.batch.frames, stage_batch.adjustments.len()), (before, 0));
}

#[test]
fn what_is_dropped_inserted_and_replaced_stands_in_its_place() {
    let chain = one(|work| {
        let verdicts = &mut work.verdicts;
        let packet = |number| Build { sequence: number, ..Build::tcp4() }.payload(8).bytes();
        verdicts.drop(0, Reason::NO_ROOM).unwrap();
        verdicts.insert(1, &packet(10)).unwrap();
        verdicts.insert(3, &packet(30)).unwrap();
        verdicts.replace(2, &packet(20)).unwrap();
        assert_eq!(verdicts.replace(0, &packet(5)), Err(Refused::Gone));
        assert_eq!(verdicts.drop(3, Reason::NO_ROOM), Err(Refused::NoRow));
        Ok(())
    });
    let mut stage_batch = stage_batch(&numbered(3));
    chain.process(Direction::Inbound, &mut stage_batch, 1420);
    assert_eq!(numbers(&stage_batch), [10, 1, 20, 30]);
    assert_eq!(chain.slots()[0].counts().drops, [("no_room".into(), 1)].into());
}

#[test]
fn only_selected_frames_are_shown_and_the_others_keep_their_places() {
    let mut chosen = options("chosen");
    let predicates = vec![Predicate::Number(Field::Length, vec![0..=48])];
    chosen.filter = Some(Filter { predicates });
    let stage = |_| -> Body {
        Box::new(|work| {
            assert_eq!(work.verdicts.len(), 2);
            work.verdicts.drop(0, Reason::NO_ROOM).unwrap();
            work.verdicts.mark(1, 7).unwrap();
            Ok(())
        })
    };
    let chain = chain(vec![(chosen, Box::new(stage))]);
    let mut packets = numbered(4);
    for odd in [1, 3] {
        packets[odd] = Build { sequence: odd as u32, ..Build::tcp4() }.payload(99).bytes();
    }
    let mut stage_batch = stage_batch(&packets);
    chain.process(Direction::Outbound, &mut stage_batch, 1420);
    assert_eq!(numbers(&stage_batch), [1, 2, 3]);
    assert_eq!(stage_batch.batch.frames.iter().map(|f| f.mark).collect::<Vec<_>>(), [0, 7, 0]);
}

#[test]
fn a_split_frame_leaves_as_its_segments_in_its_place() {
    let chain = one(|work| {
        let Call { stage_batch, verdicts, .. } = work;
        let rows = verdicts.split(1, &stage_batch.buffer, &stage_batch.batch.slices).unwrap();
        assert_eq!(rows, 3..6);
        verdicts.drop(4, Reason::NO_ROOM).unwrap();
        Ok(())
    });
    let mut packets = numbered(3);
    packets[1] = Build { sequence: 100, ..Build::tcp4() }.payload(250).bytes();
    let mut stage_batch = stage_batch(&packets);
    stage_batch.batch.frames[1].segments = 3;
    stage_batch.batch.frames[1].segment_size = 100;
    chain.process(Direction::Outbound, &mut stage_batch, 1420);
    assert_eq!(numbers(&stage_batch), [0, 100, 300, 2]);
    assert!(stage_batch.batch.frames.iter().all(|frame| frame.segments == 1));
    assert_eq!(
        stage_batch.adjustments,
        [CountAdjustment { peer: PeerId(0), segments: 1, created: false }]
    );
}

#[test]
fn what_is_emitted_goes_before_the_batch_and_what_was_just_held_to_its_place() {
    let mut kept: Vec<Held> = Vec::new();
    let stage = move |slot: Place| -> Body {
        Box::new(move |work| {
            let slot = slot.lock().unwrap().clone().unwrap();
            for held in kept.drain(..) {
                slot.handle().emit(&mut Some(held), Direction::Inbound).unwrap();
            }
            kept.push(hold(&slot, work, work.verdicts.len() - 1));
            let here = hold(&slot, work, 1);
            slot.handle().emit(&mut Some(here), Direction::Inbound).unwrap();
            Ok(())
        })
    };
    let chain = chain(vec![(options("holds"), Box::new(stage))]);
    let mut first = stage_batch(&numbered(3));
    chain.process(Direction::Inbound, &mut first, 1420);
    assert_eq!(numbers(&first), [0, 1]);
    assert_eq!(chain.slots()[0].counts().held_segments, 1);
    let mut second = stage_batch(&numbered(3));
    chain.process(Direction::Inbound, &mut second, 1420);
    assert_eq!(numbers(&second), [2, 0, 1]);
    assert_eq!(second.adjustments, []);
}

#[test]
fn a_mark_is_seen_at_once_and_stays_on_a_frame_that_is_held() {
    let mut kept: Vec<Held> = Vec::new();
    let stage = move |slot: Place| -> Body {
        Box::new(move |work| {
            let slot = slot.lock().unwrap().clone().unwrap();
            for held in kept.drain(..) {
                slot.handle().emit(&mut Some(held), Direction::Inbound).unwrap();
            }
            for row in 0..work.verdicts.len() {
                work.verdicts.set_ecn(row, 0b11).unwrap();
                let Call { stage_batch, verdicts, .. } = &work;
                let bytes =
                    verdicts.bytes(row, &stage_batch.buffer, &stage_batch.batch.slices).unwrap();
                assert_eq!(parse(&bytes, 0).unwrap().ds & 0b11, 0b11);
                kept.push(hold(&slot, work, row));
            }
            Ok(())
        })
    };
    let chain = chain(vec![(options("marks"), Box::new(stage))]);
    chain.process(Direction::Inbound, &mut stage_batch(&numbered(2)), 1420);
    let mut second = stage_batch(&numbered(1));
    chain.process(Direction::Inbound, &mut second, 1420);
    let marks = second.batch.frames.iter().map(|frame| (frame.ds, frame.bytes(&second.buffer)[1]));
    assert_eq!(marks.collect::<Vec<_>>(), [(0b11, 0b11), (0b11, 0b11)]);
}

#[test]
fn an_answer_goes_the_other_way_behind_the_stage() {
    let refuses = |_| -> Body {
        Box::new(|work| {
            if work.verdicts.direction() == Direction::Outbound {
                let answer = Build { sequence: 99, ..Build::tcp4() }.bytes();
                work.verdicts.answer(0, &answer).unwrap();
            }
            Ok(())
        })
    };
    let sees = |_| -> Body {
        Box::new(|work| {
            assert_eq!(work.verdicts.direction(), Direction::Inbound);
            Ok(())
        })
    };
    let chain =
        chain(vec![(options("refuses"), Box::new(refuses)), (options("sees"), Box::new(sees))]);
    let mut out = stage_batch(&numbered(1));
    chain.process(Direction::Outbound, &mut out, 1420);
    assert_eq!(numbers(&out), [] as [u32; 0]);
    assert!(chain.has_pending(Direction::Inbound));
    let mut back = stage_batch(&[]);
    chain.process(Direction::Inbound, &mut back, 1420);
    assert_eq!(numbers(&back), [99]);
    assert_eq!(
        back.adjustments,
        [CountAdjustment { peer: PeerId(NO_PEER), segments: 1, created: true }]
    );
    assert_eq!(chain.slots()[1].counts().frames, 1);
}

#[test]
fn a_stage_that_is_left_out_during_its_call_leaves_nothing_unbooked() {
    let kept = Arc::new(Mutex::new(Vec::new()));
    let out: Arc<Mutex<Option<Arc<Chain>>>> = Arc::default();
    let (keeps, goes) = (Arc::clone(&kept), Arc::clone(&out));
    let stage = move |slot: Place| -> Body {
        Box::new(move |work| {
            let slot = slot.lock().unwrap().clone().unwrap();
            let chain = goes.lock().unwrap().take().unwrap();
            keeps.lock().unwrap().push(hold(&slot, work, 0));
            chain.set(Vec::new());
            // The other path looks meanwhile whether anything is left to settle.
            chain.process(Direction::Outbound, &mut stage_batch(&[]), 1420);
            keeps.lock().unwrap().push(hold(&slot, work, 1));
            work.verdicts.answer(2, &Build::udp4().bytes()).unwrap();
            Ok(())
        })
    };
    let chain = Arc::new(chain(vec![(options("leaves"), Box::new(stage))]));
    let slot = Arc::clone(&chain.slots()[0]);
    *out.lock().unwrap() = Some(Arc::clone(&chain));
    let mut inbound = stage_batch(&numbered(4));
    chain.process(Direction::Inbound, &mut inbound, 1420);
    assert_eq!(numbers(&inbound), [3]);
    let dropped: u64 = inbound.adjustments.iter().map(|booking| booking.segments).sum();
    assert_eq!((dropped, slot.counts().held_segments), (3, 0));
    assert_eq!(slot.counts().drops, [("answered".into(), 1), ("stopped".into(), 2)].into());
    for held in kept.lock().unwrap().drain(..) {
        assert_eq!(slot.handle().emit(&mut Some(held), Direction::Inbound), Err(EmitError::Gone));
    }
    let mut outbound = stage_batch(&[]);
    chain.process(Direction::Outbound, &mut outbound, 1420);
    assert_eq!(outbound.batch.frames.len(), 1);
}

/// A stage that holds what it sees, to let go of it a moment later, comes and goes beside traffic: by
/// another set of stages, or because it failed.
fn comes_and_goes(go: fn(&Chain, &Slot)) {
    const BATCHES: u32 = 20_000;
    let chain = Arc::new(chain(vec![]));
    let done = AtomicBool::new(false);
    let mut came = Vec::new();
    thread::scope(|threads| {
        threads.spawn(|| {
            while !done.load(SeqCst) {
                let kept = Arc::new(Mutex::new(VecDeque::<Held>::new()));
                let (keeps, itself) = (Arc::clone(&kept), Arc::new(OnceLock::<Weak<Slot>>::new()));
                let finds = Arc::clone(&itself);
                let body = move |work: &mut Call| {
                    let slot = finds.get().and_then(Weak::upgrade).unwrap();
                    for row in 0..work.verdicts.len() {
                        keeps.lock().unwrap().push_back(hold(&slot, work, row));
                    }
                    Ok(())
                };
                let slot = chain.slot(options("delays"), Box::new(Closure(Box::new(body))));
                itself.set(Arc::downgrade(&slot)).unwrap();
                chain.set(vec![Arc::clone(&slot)]);
                for _ in 0..20 {
                    let oldest = kept.lock().unwrap().pop_front();
                    if oldest.is_some() {
                        slot.handle().emit(&mut { oldest }, Direction::Inbound).unwrap();
                    }
                    thread::yield_now();
                }
                go(&chain, &slot);
            }
        });
        for number in 0..BATCHES {
            let packet = Build { sequence: number, ..Build::tcp4() }.payload(8).bytes();
            let mut stage_batch = stage_batch(&[packet]);
            if chain.wants(Direction::Inbound) || chain.has_pending(Direction::Inbound) {
                chain.process(Direction::Inbound, &mut stage_batch, 1420);
            }
            came.extend(numbers(&stage_batch));
        }
        done.store(true, SeqCst);
    });
    assert!(came.len() > 100, "{}", came.len());
    assert!(came.is_sorted(), "{:?}", came.windows(2).find(|pair| pair[0] > pair[1]));
}

#[test]
fn what_a_stage_emitted_before_it_was_left_out_goes_before_what_it_never_saw() {
    comes_and_goes(|chain, _| chain.set(vec![]));
}

#[test]
fn what_a_stage_emitted_before_it_was_taken_out_goes_before_what_it_never_saw() {
    comes_and_goes(|_, slot| slot.take_out("it failed"));
}

#[test]
fn a_new_destination_is_booked_as_another_peers() {
    let chain = one(|work| {
        let packet = Build { destination: 9, ..Build::tcp4() }.payload(8).bytes();
        work.verdicts.replace(0, &packet).unwrap();
        Ok(())
    });
    let mut stage_batch = stage_batch(&numbered(1));
    chain.process(Direction::Outbound, &mut stage_batch, 1420);
    assert_eq!(stage_batch.batch.frames[0].peer, NO_PEER);
    let booking = |peer, created| CountAdjustment { peer: PeerId(peer), segments: 1, created };
    assert_eq!(stage_batch.adjustments, [booking(0, false), booking(NO_PEER, true)]);
}

#[test]
fn a_call_that_fails_drops_its_frames_or_passes_them_as_they_came() {
    for pass in [false, true] {
        let mut failing = options("fails");
        failing.pass_on_error = pass;
        let stage = |_| -> Body {
            Box::new(|work| {
                work.verdicts.replace(0, &Build::udp4().bytes()).unwrap();
                work.verdicts.insert(1, &Build::udp4().bytes()).unwrap();
                work.verdicts.drop(1, Reason::NO_ROOM).unwrap();
                fails()
            })
        };
        let chain = chain(vec![(failing, Box::new(stage))]);
        let mut stage_batch = stage_batch(&numbered(3));
        chain.process(Direction::Inbound, &mut stage_batch, 1420);
        let counts = chain.slots()[0].counts();
        if pass {
            assert_eq!((numbers(&stage_batch), counts.drops.len()), (vec![0, 1, 2], 0));
        } else {
            assert_eq!(
                (numbers(&stage_batch), counts.drops),
                (vec![], [("raised".into(), 3)].into())
            );
        }
        assert_eq!((counts.failures, chain.take_notices().len()), (1, 1));
    }
}

#[test]
fn a_stage_that_always_fails_is_taken_out_and_traffic_goes_on() {
    let mut failing = options("fails");
    failing.failures = 3;
    let chain = chain(vec![(failing, Box::new(|_| Box::new(|_| fails())))]);
    for call in 0..4 {
        let mut stage_batch = stage_batch(&numbered(1));
        chain.process(Direction::Inbound, &mut stage_batch, 1420);
        assert_eq!(stage_batch.batch.frames.len(), usize::from(call == 3));
    }
    let notices = chain.take_notices();
    let told: Vec<_> = notices.iter().map(|n| (n.message, n.times)).collect();
    // The clock stands: what follows the first is told with the last.
    assert_eq!(told, [("stage.raised", 1), ("stage.raised", 2), ("stage.removed", 1)]);
    assert!(!chain.wants(Direction::Inbound));
}

#[test]
fn a_batch_that_comes_back_too_late_reaches_no_further_stage() {
    let counts = |_| -> Body { Box::new(|_| Ok(())) };
    let stage = |name| -> Stage { (options(name), Box::new(counts)) };
    let chain = chain(vec![stage("hangs"), stage("behind")]);
    let mut late = stage_batch(&numbered(2));
    let hung = || chain.slots()[0].counts().calls == 0;
    chain.process_while(Direction::Inbound, &mut late, 1420, &hung);
    let calls = |chain: &Chain| chain.slots().iter().map(|s| s.counts().calls).collect::<Vec<_>>();
    assert_eq!((calls(&chain), numbers(&late)), (vec![1, 0], vec![0, 1]));
    chain.process(Direction::Inbound, &mut stage_batch(&numbered(2)), 1420);
    assert_eq!(calls(&chain), [2, 1]);
}

#[test]
fn who_waits_for_the_interpreter_is_told_and_has_no_limit() {
    /// Looks while it is entered.
    struct Looks(Arc<Mutex<Option<Arc<Chain>>>>, Arc<Mutex<Vec<Running>>>);
    impl Runtime for Looks {
        fn enter(&self, body: &mut dyn FnMut()) -> u64 {
            let chain = self.0.lock().unwrap().clone().unwrap();
            self.1.lock().unwrap().extend(chain.running(11));
            body();
            0
        }

        fn leave(&self, body: &mut dyn FnMut()) {
            body();
        }

        fn is_kept_out(&self, _: u64, now_ns: u64) -> bool {
            now_ns < 3 * LONG_NS
        }

        fn now_ns(&self) -> u64 {
            1
        }
    }
    let (place, seen) = (Arc::default(), Arc::default());
    let chain = Arc::new(Chain::new(Box::new(Looks(Arc::clone(&place), Arc::clone(&seen)))));
    *place.lock().unwrap() = Some(Arc::clone(&chain));
    let (looks, sees) = (Arc::clone(&chain), Arc::clone(&seen));
    let body = move |_: &mut Call| {
        for now_ns in [21, LONG_NS + 1, 2 * LONG_NS + 1, 5 * LONG_NS + 1] {
            sees.lock().unwrap().extend(looks.running(now_ns));
        }
        Ok(())
    };
    let strict = SlotOptions { stall_ns: Some(5), ..options("strict") };
    chain.set(vec![chain.slot(strict, Box::new(Closure(Box::new(body))))]);
    chain.process(Direction::Inbound, &mut stage_batch(&numbered(1)), 1420);
    let seen = seen.lock().unwrap().clone();
    let told: Vec<_> = seen.iter().map(|r| (&*r.name, r.for_ns, r.limit_ns)).collect();
    let waits = |for_ns| ("(waiting for the interpreter)", for_ns, None);
    let works = |for_ns| ("strict", for_ns, Some(5));
    // It waits to come in, is in, is kept out in the middle, and goes on: then its time begins anew.
    let expected = [waits(10), works(20), waits(LONG_NS), waits(2 * LONG_NS), works(3 * LONG_NS)];
    assert_eq!(told, expected);
    assert_eq!(chain.running(31), None);
}

#[test]
fn who_waits_for_longer_does_not_hide_the_stage_that_is_waited_for() {
    /// The other path enters while this one waits.
    #[derive(Default)]
    struct Late {
        now_ns: AtomicU64,
        other: Mutex<Option<Arc<Chain>>>,
    }
    impl Runtime for Arc<Late> {
        fn enter(&self, body: &mut dyn FnMut()) -> u64 {
            let other = self.other.lock().unwrap().take();
            if let Some(chain) = other {
                self.now_ns.store(LONG_NS, SeqCst);
                chain.process(Direction::Inbound, &mut stage_batch(&numbered(1)), 1420);
            }
            body();
            0
        }

        fn leave(&self, body: &mut dyn FnMut()) {
            body();
        }

        fn now_ns(&self) -> u64 {
            self.now_ns.load(SeqCst)
        }
    }
    let late = Arc::new(Late { now_ns: AtomicU64::new(1), other: Mutex::default() });
    let chain = Arc::new(Chain::new(Box::new(Arc::clone(&late))));
    *late.other.lock().unwrap() = Some(Arc::clone(&chain));
    let (looks, seen) = (Arc::clone(&chain), Arc::new(Mutex::new(Vec::new())));
    let sees = Arc::clone(&seen);
    let body = move |_: &mut Call| {
        sees.lock().unwrap().extend(looks.running(3 * LONG_NS));
        Ok(())
    };
    chain.set(vec![chain.slot(options("lasts"), Box::new(Closure(Box::new(body))))]);
    chain.process(Direction::Outbound, &mut stage_batch(&numbered(1)), 1420);
    let seen = seen.lock().unwrap();
    let (inbound, outbound) = (&seen[0], &seen[1]);
    assert_eq!((&*inbound.name, inbound.for_ns), ("lasts", 2 * LONG_NS));
    assert_eq!((&*outbound.name, outbound.for_ns), ("lasts", 2 * LONG_NS));
}

#[test]
fn one_failure_in_a_thousand_never_trips_the_breaker() {
    let mut call = 0;
    let mut rare = options("rare");
    rare.failures = 2;
    let stage = move |_| -> Body {
        Box::new(move |_| {
            call += 1;
            if call % 1000 == 0 { fails() } else { Ok(()) }
        })
    };
    let chain = chain(vec![(rare, Box::new(stage))]);
    for _ in 0..5000 {
        chain.process(Direction::Inbound, &mut stage_batch(&numbered(1)), 1420);
    }
    let counts = chain.slots()[0].counts();
    assert_eq!((counts.calls, counts.failures), (5000, 5));
    assert_eq!(counts.drops, [("raised".into(), 5)].into());
}

fn hold(slot: &Slot, work: &mut Call, row: usize) -> Held {
    let Call { stage_batch, verdicts, call, .. } = work;
    let (frame, bytes) =
        verdicts.hold(row, &stage_batch.buffer, &stage_batch.batch.slices).unwrap();
    let place = verdicts.place_of(row);
    slot.handle().state().hold(verdicts.direction(), frame, bytes, 1, *call, row as u32, place)
}

/// A verdict of the property test, by number.
fn act(slot: &Slot, work: &mut Call, held: &mut Vec<Held>, row: usize, what: u8) {
    let packet = Build::udp4().payload(64).bytes();
    let count = work.verdicts.len();
    let row = row % count;
    let Call { stage_batch, verdicts, .. } = work;
    // IcmpErrors are part of the game: a frame may be gone.
    match what {
        0 => drop(verdicts.drop(row, Reason::NO_ROOM)),
        1 => drop(verdicts.replace(row, &packet)),
        2 => drop(verdicts.replace(row, &Build::tcp4().payload(5000).bytes())),
        3 => drop(verdicts.insert(row, &packet)),
        4 => drop(verdicts.split(row, &stage_batch.buffer, &stage_batch.batch.slices)),
        5 => drop(verdicts.answer(row, &packet)),
        6 => drop(verdicts.set_ecn(row, 3)),
        _ => {
            let alive = verdicts.hold(row, &stage_batch.buffer, &stage_batch.batch.slices);
            if let Ok((frame, bytes)) = alive {
                let (direction, place) = (verdicts.direction(), verdicts.place_of(row));
                let (call, row) = (work.call, row as u32);
                held.push(slot.handle().state().hold(direction, frame, bytes, 1, call, row, place));
            }
        }
    }
}

/// One batch of the property test: segments of each frame, verdicts as (row, which), how many held
/// frames are let go, and whether the call fails.
type Script = (Vec<u16>, Vec<(usize, u8)>, usize, bool);

fn nothing_vanishes(batches: Vec<Script>) {
    let held = Arc::new(Mutex::new(Vec::new()));
    let script = Arc::new(Mutex::new((Vec::new(), 0, false)));
    let (keeps, reads) = (Arc::clone(&held), Arc::clone(&script));
    let mut reorders = options("random");
    reorders.reorders = true;
    let stage = move |slot: Place| -> Body {
        Box::new(move |work| {
            let slot = slot.lock().unwrap().clone().unwrap();
            let mut held = keeps.lock().unwrap();
            let (verdicts, emits, failing): (Vec<(usize, u8)>, usize, bool) =
                reads.lock().unwrap().clone();
            for (row, what) in verdicts {
                act(&slot, work, &mut held, row, what);
            }
            for _ in 0..emits.min(held.len()) {
                slot.handle().emit(&mut Some(held.remove(0)), Direction::Outbound).unwrap();
            }
            if failing { fails() } else { Ok(()) }
        })
    };
    let chain = chain(vec![(reorders, Box::new(stage))]);
    let (mut sent, mut arrived, mut created, mut dropped) = (0, 0, 0, 0);
    for (sizes, verdicts, emits, failing) in batches {
        *script.lock().unwrap() = (verdicts, emits, failing);
        let payloads = sizes.iter().map(|&size| usize::from(size) * 100);
        let packets: Vec<_> = payloads.map(|n| Build::tcp4().payload(n).bytes()).collect();
        let mut stage_batch = stage_batch(&packets);
        for (frame, size) in stage_batch.batch.frames.iter_mut().zip(&sizes) {
            if *size > 1 {
                (frame.segments, frame.segment_size) = (*size, 100);
            }
            sent += u64::from(*size);
        }
        chain.process(Direction::Outbound, &mut stage_batch, 1420);
        for frame in &stage_batch.batch.frames {
            let segments = Segments::new(frame, frame.bytes(&stage_batch.buffer));
            assert_eq!(segments.count(), usize::from(frame.segments));
            assert_eq!(parse(frame.bytes(&stage_batch.buffer), 0).unwrap().length, frame.length);
            arrived += u64::from(frame.segments);
        }
        for booking in &stage_batch.adjustments {
            *if booking.created { &mut created } else { &mut dropped } += booking.segments;
        }
    }
    let counts = chain.slots()[0].counts();
    assert_eq!(sent + created, arrived + dropped + counts.held_segments);
    assert_eq!(dropped, counts.drops.values().sum::<u64>());
    assert_eq!(created, counts.created);
}

proptest! {
    /// Whatever stages do, what goes in and is made comes out, is dropped, or is held; and what
    /// comes out can be sent.
    #[test]
    fn nothing_vanishes_whatever_stages_do(
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
        nothing_vanishes(batches);
    }
}

#[test]
fn a_failing_call_that_holds_a_segment_of_a_split_segment_loses_nothing() {
    nothing_vanishes(vec![(vec![3], vec![(0, 4), (3, 2), (11, 4), (4, 7)], 0, true)]);
}
