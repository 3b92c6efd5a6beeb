//! A cipher whose time is taken, so that a run can be held against it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Instant,
};

use pyfw_core::aead::{Aead, Slot, TransportKey};

/// Passes all calls on, and adds up how long they took.
pub(crate) struct Timed {
    aead: Box<dyn Aead>,
    spent_ns: Arc<AtomicU64>,
}

impl Timed {
    pub(crate) fn new(aead: Box<dyn Aead>, spent_ns: Arc<AtomicU64>) -> Self {
        Self { aead, spent_ns }
    }

    fn time(&mut self, call: impl FnOnce(&mut dyn Aead)) {
        let start = Instant::now();
        call(self.aead.as_mut());
        self.spent_ns.fetch_add(start.elapsed().as_nanos() as u64, Relaxed);
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
