//! What a cipher costs here: nanoseconds a slot, in batches as the paths give them.
//!
//! In: a cipher and a length. Out: the best of many short runs, which is what the cipher costs
//! where nothing else disturbs.

use std::time::Instant;

use pyfw_core::aead::{Aead, Slot, TransportKey};

/// A 64 KiB frame's segments.
pub const SLOTS: u32 = 46;
const RUNS: usize = 60;
const CALLS_A_RUN: u32 = 40;

/// Nanoseconds to seal and to open a slot of `length` bytes; takes about a tenth of a second.
pub fn cost(cipher: &mut dyn Aead, length: u32) -> (f64, f64) {
    let key = TransportKey::new([1; 32]);
    // As in an egress buffer: a header of 16 bytes before each text.
    let stride = 16 + length + 16;
    let slots: Vec<Slot> = (0..SLOTS)
        .map(|i| Slot { offset: 16 + i * stride, length, counter: u64::from(i) })
        .collect();
    let mut buffer = vec![0; (stride * SLOTS) as usize];
    let mut opened = vec![false; slots.len()];
    // What is opened need not be right: the work is the same.
    let seal_ns = best(|| cipher.seal(&key, &mut buffer, &slots));
    let open_ns = best(|| cipher.open(&key, &mut buffer, &slots, &mut opened));
    (seal_ns, open_ns)
}

fn best(mut call: impl FnMut()) -> f64 {
    let run = |call: &mut dyn FnMut()| {
        let start = Instant::now();
        for _ in 0..CALLS_A_RUN {
            call();
        }
        start.elapsed().as_nanos() as f64 / f64::from(CALLS_A_RUN * SLOTS)
    };
    (0..RUNS).map(|_| run(&mut call)).fold(f64::INFINITY, f64::min)
}
