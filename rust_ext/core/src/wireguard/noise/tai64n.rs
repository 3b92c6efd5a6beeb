//! TAI64N timestamps of initiations (whitepaper §5.4.2), twelve bytes whose order is the order of time.

/// Bytes of a timestamp.
pub const TIMESTAMP_LENGTH: usize = 12;

/// A timestamp; greater means later.
pub type Timestamp = [u8; TIMESTAMP_LENGTH];

/// TAI64 of the Unix epoch: 2^62 plus the 10 s that TAI was ahead in 1970
/// (cr.yp.to/libtai/tai64.html; wireguard-go tai64n.go: 0x400000000000000a).
const EPOCH: u64 = 0x4000_0000_0000_000a;
/// Nanoseconds are rounded down to steps of 2^24 (16.8 ms), so that a timestamp does not reveal the exact clock
/// (wireguard-go tai64n.go, whitenerMask). A peer accepts only one initiation in 20 ms anyway.
const STEP_NS: u64 = 1 << 24;
const SECOND_NS: u64 = crate::time::SECOND_NS;

/// A clock whose timestamps always rise. If the wall clock was set back, peers would otherwise drop our initiations
/// until it has caught up.
#[derive(Debug, Default)]
pub struct TimestampClock {
    last_ns: Option<u64>,
}

impl TimestampClock {
    /// Returns the next timestamp.
    pub fn next(&mut self, unix_ns: u64) -> Timestamp {
        let now_ns = whiten(unix_ns);
        let at_ns = match self.last_ns {
            Some(last_ns) if now_ns <= last_ns => next_step(last_ns),
            _ => now_ns,
        };
        self.last_ns = Some(at_ns);
        timestamp(at_ns)
    }
}

fn whiten(unix_ns: u64) -> u64 {
    unix_ns - unix_ns % SECOND_NS % STEP_NS
}

/// Returns the step after `at_ns`; steps start anew with each second.
fn next_step(at_ns: u64) -> u64 {
    let next_second_ns = (at_ns / SECOND_NS + 1) * SECOND_NS;
    (at_ns + STEP_NS).min(next_second_ns)
}

fn timestamp(unix_ns: u64) -> Timestamp {
    let mut timestamp = [0; TIMESTAMP_LENGTH];
    timestamp[..8].copy_from_slice(&(EPOCH + unix_ns / SECOND_NS).to_be_bytes());
    // Less than 10^9, so it fits.
    timestamp[8..].copy_from_slice(&((unix_ns % SECOND_NS) as u32).to_be_bytes());
    timestamp
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_unix_epoch_has_its_defined_timestamp() {
        assert_eq!(timestamp(0), [0x40, 0, 0, 0, 0, 0, 0, 0x0a, 0, 0, 0, 0]);
    }

    /// As in wireguard-go's tai64n_test.go.
    #[test]
    fn times_within_2_to_the_24_ns_share_a_timestamp() {
        let at = |ns| timestamp(whiten(7 * SECOND_NS + ns));
        assert_eq!(at(0), at(0x00ff_ffff));
        assert_ne!(at(0), at(0x0100_0000));
        assert_eq!(at(0)[8..], [0; 4]);
    }

    proptest! {
        #[test]
        fn timestamps_rise_whatever_the_clock_does(clock in prop::collection::vec(0u64..1 << 62, 2..50)) {
            let mut timestamps = TimestampClock::default();
            let drawn: Vec<_> = clock.iter().map(|&ns| timestamps.next(ns)).collect();
            prop_assert!(drawn.is_sorted_by(|a, b| a < b));
        }
    }
}
