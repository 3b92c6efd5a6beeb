//! Measures what a cipher costs: nanoseconds per slot in batches of the size that the paths use, the best of
//! many short runs, so that other load does not count.

use std::time::Instant;

use pyfw_core::aead::{Aead, Slot, TransportKey};

/// Slots per batch: the segments of a 64 KiB frame.
pub const SLOTS: u32 = 46;
const RUNS: usize = 60;
const CALLS_PER_RUN: u32 = 40;

/// Returns the nanoseconds to seal and to open a slot of `length` bytes. Takes about 0.1 s.
pub fn cost(cipher: &mut dyn Aead, length: u32) -> (f64, f64) {
    let key = TransportKey::new([1; 32]);
    // As in an egress buffer: a header of 16 bytes before each slot.
    let stride = 16 + length + 16;
    let slots: Vec<Slot> = (0..SLOTS)
        .map(|i| Slot { offset: 16 + i * stride, length, counter: u64::from(i) })
        .collect();
    let mut buffer = vec![0; (stride * SLOTS) as usize];
    let mut opened = vec![false; slots.len()];
    // The tags are wrong after the first run; opening them takes as long.
    let seal_ns = best(|| cipher.seal(&key, &mut buffer, &slots));
    let open_ns = best(|| cipher.open(&key, &mut buffer, &slots, &mut opened));
    (seal_ns, open_ns)
}

fn best(mut call: impl FnMut()) -> f64 {
    let run = |call: &mut dyn FnMut()| {
        let start = Instant::now();
        for _ in 0..CALLS_PER_RUN {
            call();
        }
        start.elapsed().as_nanos() as f64 / f64::from(CALLS_PER_RUN * SLOTS)
    };
    (0..RUNS).map(|_| run(&mut call)).fold(f64::INFINITY, f64::min)
}
