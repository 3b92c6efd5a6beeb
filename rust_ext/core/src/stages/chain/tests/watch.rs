//! The longest call, as the stage watchdog sees it.

use std::sync::atomic::AtomicU64;

use super::*;

/// Where a test keeps its chain, for closures that run inside it.
type Cell = Arc<Mutex<Option<Arc<Chain>>>>;

#[test]
fn a_wait_for_the_gil_has_no_limit() {
    /// Samples the longest call while a thread waits to attach; finds it waiting inside a call until 3
    /// periods.
    struct Samples(Cell, Arc<Mutex<Vec<RunningCall>>>);
    impl Runtime for Samples {
        fn attach(&self, body: &mut dyn FnMut()) -> u64 {
            let chain = self.0.lock().unwrap().clone().unwrap();
            self.1.lock().unwrap().extend(chain.longest_call(11));
            body();
            0
        }

        fn detach(&self, body: &mut dyn FnMut()) {
            body();
        }

        fn waits_for_gil(&self, _: u64, now_ns: u64) -> bool {
            now_ns < 3 * LONG_CALL_NS
        }

        fn now_ns(&self) -> u64 {
            1
        }
    }
    let (cell, samples) = (Cell::default(), Arc::default());
    let chain = Arc::new(Chain::new(Box::new(Samples(Arc::clone(&cell), Arc::clone(&samples)))));
    *cell.lock().unwrap() = Some(Arc::clone(&chain));
    let (inside, sampled) = (Arc::clone(&chain), Arc::clone(&samples));
    let body = move |_: &mut Call| {
        for now_ns in [21, LONG_CALL_NS + 1, 2 * LONG_CALL_NS + 1, 5 * LONG_CALL_NS + 1] {
            sampled.lock().unwrap().extend(inside.longest_call(now_ns));
        }
        Ok(())
    };
    let strict = SlotOptions { stall_ns: Some(5), ..options("strict") };
    chain.set(vec![chain.slot(strict, Box::new(Closure(Box::new(body))))]);
    chain.process(Direction::Inbound, &mut stage_batch(&packets(1)), MTU);
    let samples = samples.lock().unwrap().clone();
    let samples: Vec<_> = samples.iter().map(|r| (&*r.name, r.for_ns, r.limit_ns)).collect();
    let waits = |for_ns| ("(waiting for the interpreter)", for_ns, None);
    let runs = |for_ns| ("strict", for_ns, Some(5));
    // It waits to attach, runs, waits inside the call, and runs on: then its time starts again.
    let expected =
        [waits(10), runs(20), waits(LONG_CALL_NS), waits(2 * LONG_CALL_NS), runs(3 * LONG_CALL_NS)];
    assert_eq!(samples, expected);
    assert_eq!(chain.longest_call(31), None);
}

#[test]
fn a_longer_wait_does_not_hide_a_stalled_stage() {
    /// Lets the other path enter while this one waits.
    #[derive(Default)]
    struct Waits {
        now_ns: AtomicU64,
        chain: Cell,
    }
    impl Runtime for Arc<Waits> {
        fn attach(&self, body: &mut dyn FnMut()) -> u64 {
            let chain = self.chain.lock().unwrap().take();
            if let Some(chain) = chain {
                self.now_ns.store(LONG_CALL_NS, SeqCst);
                chain.process(Direction::Inbound, &mut stage_batch(&packets(1)), MTU);
            }
            body();
            0
        }

        fn detach(&self, body: &mut dyn FnMut()) {
            body();
        }

        fn now_ns(&self) -> u64 {
            self.now_ns.load(SeqCst)
        }
    }
    let waits = Arc::new(Waits { now_ns: AtomicU64::new(1), chain: Cell::default() });
    let chain = Arc::new(Chain::new(Box::new(Arc::clone(&waits))));
    *waits.chain.lock().unwrap() = Some(Arc::clone(&chain));
    let (inside, samples) = (Arc::clone(&chain), Arc::new(Mutex::new(Vec::new())));
    let sampled = Arc::clone(&samples);
    let body = move |_: &mut Call| {
        sampled.lock().unwrap().extend(inside.longest_call(3 * LONG_CALL_NS));
        Ok(())
    };
    chain.set(vec![chain.slot(options("stalls"), Box::new(Closure(Box::new(body))))]);
    chain.process(Direction::Outbound, &mut stage_batch(&packets(1)), MTU);
    let samples = samples.lock().unwrap();
    let (inbound, outbound) = (&samples[0], &samples[1]);
    assert_eq!((&*inbound.name, inbound.for_ns), ("stalls", 2 * LONG_CALL_NS));
    assert_eq!((&*outbound.name, outbound.for_ns), ("stalls", 2 * LONG_CALL_NS));
}
