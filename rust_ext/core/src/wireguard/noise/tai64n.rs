//! TAI64N stamps of initiations (whitepaper §5.4.2): a replayed or older one is dropped.
//!
//! In: wall-clock nanoseconds. Out: twelve bytes that compare as bytes in the order of time.

/// Bytes of a stamp.
pub const STAMP_LENGTH: usize = 12;

/// A stamp; greater means later.
pub type Stamp = [u8; STAMP_LENGTH];

/// TAI64 of the Unix epoch: 2^62 plus the 10 s that TAI was ahead in 1970
/// (cr.yp.to/libtai/tai64.html; wireguard-go tai64n.go: 0x400000000000000a).
const EPOCH: u64 = 0x4000_0000_0000_000a;
/// Nanoseconds are given in steps of 2^24 (16.8 ms), so that a stamp does not tell the exact clock
/// (wireguard-go tai64n.go, whitenerMask). A peer takes no more than one initiation in 20 ms anyway.
const STEP_NS: u64 = 1 << 24;
const SECOND_NS: u64 = crate::time::SECOND_NS;

/// Gives stamps that always rise, whatever the wall clock does: a clock set back would otherwise
/// lock us out of every peer until it has caught up.
#[derive(Debug, Default)]
pub struct Stamps {
    last_ns: Option<u64>,
}

impl Stamps {
    /// The next stamp.
    pub fn next(&mut self, unix_ns: u64) -> Stamp {
        let now_ns = whiten(unix_ns);
        let at_ns = match self.last_ns {
            Some(last_ns) if now_ns <= last_ns => following(last_ns),
            _ => now_ns,
        };
        self.last_ns = Some(at_ns);
        stamp(at_ns)
    }
}

fn whiten(unix_ns: u64) -> u64 {
    unix_ns - unix_ns % SECOND_NS % STEP_NS
}

/// The step after `at_ns`, which starts again with each second.
fn following(at_ns: u64) -> u64 {
    let next_second_ns = (at_ns / SECOND_NS + 1) * SECOND_NS;
    (at_ns + STEP_NS).min(next_second_ns)
}

fn stamp(unix_ns: u64) -> Stamp {
    let mut stamp = [0; STAMP_LENGTH];
    stamp[..8].copy_from_slice(&(EPOCH + unix_ns / SECOND_NS).to_be_bytes());
    // Less than 10^9, so it fits.
    stamp[8..].copy_from_slice(&((unix_ns % SECOND_NS) as u32).to_be_bytes());
    stamp
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_epoch_has_the_stamp_of_the_definition() {
        assert_eq!(stamp(0), [0x40, 0, 0, 0, 0, 0, 0, 0x0a, 0, 0, 0, 0]);
    }

    /// As wireguard-go's tai64n_test.go: the last 24 bits of the nanoseconds are hidden.
    #[test]
    fn times_within_2_to_the_24_ns_share_a_stamp() {
        let at = |ns| stamp(whiten(7 * SECOND_NS + ns));
        assert_eq!(at(0), at(0x00ff_ffff));
        assert_ne!(at(0), at(0x0100_0000));
        assert_eq!(at(0)[8..], [0; 4]);
    }

    proptest! {
        #[test]
        fn stamps_rise_whatever_the_clock_does(clock in prop::collection::vec(0u64..1 << 62, 2..50)) {
            let mut stamps = Stamps::default();
            let given: Vec<_> = clock.iter().map(|&ns| stamps.next(ns)).collect();
            prop_assert!(given.is_sorted_by(|a, b| a < b));
        }
    }
}
