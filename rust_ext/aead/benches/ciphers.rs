//! Sealing and opening a batch of 64 full segments, and of 64 small ones.
//!
//! A cipher that cannot be opened here is not counted: its loop is empty, and guard.py says so.

#![allow(missing_docs, reason = "what the macros of gungraun make")]

use gungraun::{library_benchmark, library_benchmark_group, main};
use pyfw_core::aead::{Aead, Slot, TransportKey};

/// A cipher with a key, a buffer as an egress buffer, and its slots.
struct Ready {
    cipher: Option<Box<dyn Aead>>,
    key: TransportKey,
    buffer: Vec<u8>,
    slots: Vec<Slot>,
    opened: Vec<bool>,
}

fn ready(name: &str, length: u32) -> Box<Ready> {
    let stride = 16 + length + 16;
    let slots = (0..64).map(|i| Slot { offset: 16 + i * stride, length, counter: u64::from(i) });
    let mut ready = Ready {
        cipher: pyfw_aead::open(name).ok(),
        key: TransportKey::new([1; 32]),
        buffer: vec![0; (stride * 64) as usize],
        slots: slots.collect(),
        opened: vec![false; 64],
    };
    // So that what is opened is right.
    if let Ok(mut ring) = pyfw_aead::open("ring") {
        ring.seal(&ready.key, &mut ready.buffer, &ready.slots);
    }
    Box::new(ready)
}

#[library_benchmark]
#[bench::ring_1420(ready("ring", 1420))]
#[bench::ring_64(ready("ring", 64))]
#[bench::ipsec_mb_1420(ready("ipsec-mb", 1420))]
#[bench::ipsec_mb_64(ready("ipsec-mb", 64))]
fn seal(mut ready: Box<Ready>) -> Box<Ready> {
    let Ready { cipher, key, buffer, slots, .. } = &mut *ready;
    if let Some(cipher) = cipher {
        cipher.seal(key, buffer, slots);
    }
    ready
}

#[library_benchmark]
#[bench::ring_1420(ready("ring", 1420))]
#[bench::ring_64(ready("ring", 64))]
#[bench::ipsec_mb_1420(ready("ipsec-mb", 1420))]
#[bench::ipsec_mb_64(ready("ipsec-mb", 64))]
fn open(mut ready: Box<Ready>) -> Box<Ready> {
    let Ready { cipher, key, buffer, slots, opened } = &mut *ready;
    if let Some(cipher) = cipher {
        cipher.open(key, buffer, slots, opened);
        assert!(opened.iter().all(|&opened| opened));
    }
    ready
}

library_benchmark_group!(name = ciphers, benchmarks = [seal, open]);
main!(library_benchmark_groups = ciphers);
