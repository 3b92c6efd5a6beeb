//! The two clocks of the engine: boot time for deadlines and ages, the wall clock for logs and TAI64N.

use pyfw_core::time::{Now, SECOND_NS};
use rustix::time::{ClockId, clock_gettime};

/// Returns the nanoseconds since boot, suspend included.
pub fn boottime_ns() -> u64 {
    read(ClockId::Boottime)
}

/// Returns the Unix time in nanoseconds.
pub fn unix_ns() -> u64 {
    read(ClockId::Realtime)
}

/// Reads both clocks.
pub fn now() -> Now {
    Now { boot_ns: boottime_ns(), unix_ns: unix_ns() }
}

fn read(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    time.tv_sec as u64 * SECOND_NS + time.tv_nsec as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boot_time_advances_and_unix_time_is_plausible() {
        let first = now();
        assert!(first.boot_ns > 0 && boottime_ns() >= first.boot_ns);
        assert!(first.unix_ns > 1_600_000_000 * SECOND_NS);
    }
}
