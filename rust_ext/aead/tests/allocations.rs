//! Ciphers allocate nothing, since they run on the data path.
//!
//! Counts the calls of Rust's allocator in this thread. IPsec-MB uses the system's: it imports
//! `posix_memalign` only, to allocate a manager.

mod installed;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use installed::ciphers;
use pyfw_core::aead::{Slot, TransportKey};

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: forwards every request to the system's allocator; the counter is a cell of this thread that never
// allocates (const, no destructor).
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: as the caller's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as the caller's.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: as the caller's.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations_of(run: impl FnOnce()) -> usize {
    let before = ALLOCATIONS.get();
    run();
    ALLOCATIONS.get() - before
}

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
