//! A cipher that measures its own time, so that a replay can be compared with it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Instant,
};

use pyfw_core::aead::{Aead, Slot, TransportKey};

/// One call in this many is timed, and counts for all of them: two clock reads per call cost 4 % of a run.
const EVERY: u64 = 8;

/// Forwards all calls, and adds an estimate of their time to `spent_ns`.
pub(crate) struct Timed {
    aead: Box<dyn Aead>,
    calls: u64,
    spent_ns: Arc<AtomicU64>,
}

impl Timed {
    pub(crate) fn new(aead: Box<dyn Aead>, spent_ns: Arc<AtomicU64>) -> Self {
        Self { aead, calls: 0, spent_ns }
    }

    fn time(&mut self, call: impl FnOnce(&mut dyn Aead)) {
        self.calls += 1;
        if self.calls % EVERY != 0 {
            return call(self.aead.as_mut());
        }
        let start = Instant::now();
        call(self.aead.as_mut());
        self.spent_ns.fetch_add(start.elapsed().as_nanos() as u64 * EVERY, Relaxed);
    }
}

impl Aead for Timed {
    fn name(&self) -> &'static str {
        self.aead.name()
    }

    fn seal(&mut self, key: &TransportKey, buffer: &mut [u8], slots: &[Slot]) {
        self.time(|aead| aead.seal(key, buffer, slots));
    }

    fn open(&mut self, key: &TransportKey, buffer: &mut [u8], slots: &[Slot], opened: &mut [bool]) {
        self.time(|aead| aead.open(key, buffer, slots, opened));
    }
}
