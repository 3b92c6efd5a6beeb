//! Nanoseconds a slot: each cipher, sealing and opening batches of 46 (a 64 KiB frame's segments).
//!
//! `cargo run --release -p pyfw-aead --example seal`

use std::time::Instant;

use pyfw_aead::{available, open};
use pyfw_core::aead::{Slot, TransportKey};

const SLOTS: u32 = 46;
/// The best of many short runs: what the cipher costs where nothing else disturbs.
const RUNS: usize = 60;
const CALLS_A_RUN: u32 = 40;

fn main() {
    println!(
        "{:<10} {:>6} {:>8} {:>8}   ns a slot, batches of {SLOTS}",
        "", "bytes", "seal", "open"
    );
    for cipher in available() {
        if let Err(reason) = &cipher.usable {
            println!("{:<10} {reason}", cipher.name);
            continue;
        }
        for length in [0, 64, 256, 1420] {
            let (seal_ns, open_ns) = measure(cipher.name, length);
            println!("{:<10} {length:>6} {seal_ns:>8.0} {open_ns:>8.0}", cipher.name);
        }
    }
}

fn measure(name: &str, length: u32) -> (f64, f64) {
    let mut cipher = open(name).expect("it was said to be usable");
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
