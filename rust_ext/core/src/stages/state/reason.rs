//! reason: why a stage's frame was dropped.

/// Why a stage's frame was dropped: a built-in reason, or a name that the stage chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reason(pub(super) u8);

impl Reason {
    /// The stage's call failed.
    pub const RAISED: Self = Self(0);
    /// The stage answered it with a packet in the other direction.
    pub const ANSWERED: Self = Self(1);
    /// The stage replaced it by a frame of fewer segments.
    pub const REPLACED: Self = Self(2);
    /// The stage changed its destination, so it goes to another peer.
    pub const REROUTED: Self = Self(3);
    /// The stage emitted it in the other direction.
    pub const TURNED: Self = Self(4);
    /// The stage holds as much as it may.
    pub const HOLD_OVERFLOW: Self = Self(5);
    /// The batch's buffer has no room for what the stage wrote.
    pub const NO_ROOM: Self = Self(6);
    /// The stage held it and no longer references it.
    pub const FORGOTTEN: Self = Self(7);
    /// The stage held it when it was stopped or removed.
    pub const STOPPED: Self = Self(8);

    /// Names of the built-in reasons, by number.
    pub(super) const BUILT_IN: [&'static str; 9] = [
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
