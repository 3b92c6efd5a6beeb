//! Ciphers allocate nothing, since they run on the data path.
//!
//! Counts the calls of Rust's allocator in this thread. IPsec-MB uses the system's: it imports
//! `posix_memalign` only, to allocate a manager.

mod installed;

use installed::ciphers;
use pyfw_core::aead::{Slot, TransportKey};
use pyfw_testkit::allocator::{CountingAllocator, allocations_of};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

#[test]
fn allocations_are_counted() {
    assert_eq!(allocations_of(|| drop(std::hint::black_box(Box::new(1)))), 1);
}

#[test]
fn seal_and_open_allocate_nothing() {
    let key = TransportKey::new([1; 32]);
    for mut cipher in ciphers() {
        for (length, count) in [(0, 1), (64, 46), (1420, 46), (1420, 130), (65000, 2)] {
            let stride = length + 16;
            let slots: Vec<Slot> = (0..count)
                .map(|i| Slot { offset: i * stride, length, counter: u64::from(i) })
                .collect();
            let mut buffer = vec![0; (stride * count) as usize];
            let mut opened = vec![false; slots.len()];
            let sealing = allocations_of(|| cipher.seal(&key, &mut buffer, &slots));
            let opening = allocations_of(|| cipher.open(&key, &mut buffer, &slots, &mut opened));
            assert_eq!((sealing, opening), (0, 0), "{} {count} x {length}", cipher.name());
            assert!(opened.iter().all(|&opened| opened));
        }
    }
}
