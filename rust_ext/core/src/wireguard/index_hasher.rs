//! The hash of receiver indices that we chose ourselves, and of peer ids.

use std::hash::Hasher;

/// The identity, as a hasher of one `u32`. We draw the indices at random, so no attacker can choose keys that collide.
#[derive(Default)]
pub struct IndexHasher(u64);

impl Hasher for IndexHasher {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0 << 8 | u64::from(byte);
        }
    }

    fn write_u32(&mut self, index: u32) {
        // std's HashMap takes its tag from the upper bits and its bucket from the lower ones.
        self.0 = u64::from(index) << 32 | u64::from(index);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
