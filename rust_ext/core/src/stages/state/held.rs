//! held: a frame that a stage has taken out of a batch, and its way back onto a path.

use crate::{frame::Frame, stage_api::Direction};

/// How much a stage may hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HoldLimit {
    /// Number of frames.
    pub frames: usize,
    /// Sum of their lengths.
    pub bytes: usize,
}

/// A frame that a stage holds.
#[derive(Debug)]
pub struct HeldFrame {
    pub(super) id: u64,
    /// The path that it was on.
    pub direction: Direction,
    /// Its row, with offset 0.
    pub frame: Frame,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// When it was read, in boot nanoseconds.
    pub received_ns: u64,
    /// Where it was taken out.
    pub place: Place,
}

/// Where a held frame was taken out of its batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Number of the call.
    pub call: u64,
    /// Row in the call's verdicts.
    pub row: u32,
    /// Position in the batch; see [`Verdicts::position`](crate::stages::verdicts::Verdicts::position).
    pub position: u32,
}

impl Place {
    /// Returns a number that orders all frames of all calls.
    pub(super) fn order(self) -> u64 {
        order(self.call, self.position)
    }
}

/// See [`Place::order`].
pub(super) fn order(call: u64, position: u32) -> u64 {
    call << 32 | u64::from(position)
}

/// A frame that a stage has emitted.
#[derive(Debug)]
pub struct Emission {
    /// The path that it takes.
    pub direction: Direction,
    /// Its row, with offset 0.
    pub frame: Frame,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// The path and place from which it was held; `None` if the stage made it.
    pub held: Option<(Direction, Place)>,
}

/// Why a frame cannot be emitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmitError {
    /// It was emitted before, or its stage was stopped.
    NotHeld,
    /// A later frame of its flow has passed, and the stage does not declare that it reorders.
    Overtaken,
}
