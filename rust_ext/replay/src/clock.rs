//! Virtual time: it moves only when the run advances it, and never back.

use pyfw_core::time::{Now, SECOND_NS};

/// Boot time of the first packet; handshakes happen before it.
pub(crate) const START_NS: u64 = 1000 * SECOND_NS;
/// Wall clock at the first packet: 2023-11-14T22:13:20Z.
const START_UNIX_NS: u64 = 1_700_000_000 * SECOND_NS;

/// The clock that all nodes of a run share.
#[derive(Clone, Copy, Debug)]
pub(crate) struct VirtualClock(Now);

impl VirtualClock {
    /// A clock that stands `lead_ns` before the first packet.
    pub(crate) fn new(lead_ns: u64) -> Self {
        Self(Now { boot_ns: START_NS - lead_ns, unix_ns: START_UNIX_NS - lead_ns })
    }

    pub(crate) fn now(&self) -> Now {
        self.0
    }

    /// Moves forward to `boot_ns`; an earlier time changes nothing.
    pub(crate) fn advance_to(&mut self, boot_ns: u64) {
        let step_ns = boot_ns.saturating_sub(self.0.boot_ns);
        self.0.boot_ns += step_ns;
        self.0.unix_ns = self.0.unix_ns.saturating_add(step_ns);
    }

    /// Whether the first packet is still to come.
    pub(crate) fn is_before_start(&self) -> bool {
        self.0.boot_ns < START_NS
    }

    /// Nanoseconds since the first packet, 0 before it.
    pub(crate) fn elapsed_ns(&self) -> u64 {
        self.0.boot_ns.saturating_sub(START_NS)
    }
}
