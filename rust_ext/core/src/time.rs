//! Clock readings, which callers pass in: the core never reads a clock.

/// A reading of both clocks, taken once a drain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Nanoseconds since boot, suspend included (CLOCK_BOOTTIME): every age and deadline.
    pub boot_ns: u64,
    /// Nanoseconds since the Unix epoch: only for TAI64N timestamps and for display.
    pub unix_ns: u64,
}

/// Nanoseconds in a second.
pub const SECOND_NS: u64 = 1_000_000_000;
/// Nanoseconds in a millisecond.
pub const MILLISECOND_NS: u64 = 1_000_000;
