//! reason: why a stage's frame was dropped.

/// Why a stage's frame was dropped: one of ours, or a name that the stage gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reason(pub(super) u8);

impl Reason {
    /// The call that should have judged it failed.
    pub const RAISED: Self = Self(0);
    /// A packet was sent the other way instead.
    pub const ANSWERED: Self = Self(1);
    /// It was replaced by a frame of fewer segments.
    pub const REPLACED: Self = Self(2);
    /// It was sent to another peer.
    pub const REROUTED: Self = Self(3);
    /// It was sent the other way.
    pub const TURNED: Self = Self(4);
    /// The stage held as much as it may.
    pub const HOLD_OVERFLOW: Self = Self(5);
    /// The batch's buffer had no room for what was written.
    pub const NO_ROOM: Self = Self(6);
    /// It was held, and nobody has it any more.
    pub const FORGOTTEN: Self = Self(7);
    /// It was held when the stage was stopped or taken out.
    pub const STOPPED: Self = Self(8);

    pub(super) const OURS: [&'static str; 9] = [
        "raised",
        "answered",
        "replaced",
        "rerouted",
        "turned",
        "hold_overflow",
        "no_room",
        "forgotten",
        "stopped",
    ];
}
