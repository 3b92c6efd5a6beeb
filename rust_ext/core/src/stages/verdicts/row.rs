//! row: a frame that a stage was shown, or a segment that it split off, and the verdict on it.

use crate::{
    frame::Frame,
    stages::{fixup::PacketError, state::Reason},
};

/// A frame or segment and what the stage decided about it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    /// The frame as the stage was shown it.
    pub(super) frame: Frame,
    pub(super) origin: Origin,
    /// The frame that replaces it, in `data`.
    pub(super) replaced: Option<Frame>,
    /// The ECN field to set.
    pub(super) ecn: Option<u8>,
    pub(super) verdict: Verdict,
}

/// Where a row's bytes come from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Origin {
    /// A frame of the batch.
    Batch,
    /// Segment `number` of the split row `parent`.
    Segment { parent: u32, number: u32 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Keep,
    Drop(Reason),
    Hold,
    /// Rows `first` and following are its segments; `data` has its bytes at `offset`.
    Split {
        first: u32,
        count: u32,
        offset: u32,
    },
}

impl Row {
    pub(super) fn new(frame: Frame) -> Self {
        let (origin, verdict) = (Origin::Batch, Verdict::Keep);
        Self { frame, origin, replaced: None, ecn: None, verdict }
    }
}

/// Why a verdict is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VerdictError {
    /// There is no such row.
    NoSuchRow,
    /// The row was dropped, held or split before.
    AlreadyDecided,
    /// The bytes are not a packet.
    InvalidPacket(PacketError),
}
