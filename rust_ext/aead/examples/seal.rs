//! Prints the nanoseconds per slot of each cipher, for batches of 46 (the segments of a 64 KiB frame).
//!
//! `cargo run --release -p pyfw-aead --features bench --example seal`

use pyfw_aead::{available, cost, open};

fn main() {
    let slots = cost::SLOTS;
    println!(
        "{:<10} {:>6} {:>8} {:>8}   ns per slot, batches of {slots}",
        "", "bytes", "seal", "open"
    );
    for cipher in available() {
        if let Err(reason) = &cipher.usable {
            println!("{:<10} {reason}", cipher.name);
            continue;
        }
        for length in [0, 64, 256, 1420] {
            let mut opened = open(cipher.name).expect("it is usable");
            let (seal_ns, open_ns) = cost::cost(&mut *opened, length);
            println!("{:<10} {length:>6} {seal_ns:>8.0} {open_ns:>8.0}", cipher.name);
        }
    }
}
