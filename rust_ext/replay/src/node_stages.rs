//! The user's stages of one node. They work on a copy of each drain.

use std::sync::Arc;

use pyfw_core::{
    buffer::{Buffer, STAGE_ROOM},
    frame::FrameBatch,
    stage_api::{Direction, StageBatch, Stages},
};

/// The stages and the buffer they work in.
pub(crate) struct NodeStages {
    stages: Option<Arc<dyn Stages>>,
    pub(crate) buffer: Buffer,
    mtu: usize,
}

impl NodeStages {
    pub(crate) fn new(stages: Option<Arc<dyn Stages>>, mtu: usize) -> Self {
        Self { stages, buffer: Buffer::default(), mtu }
    }

    /// Whether batches of this direction must pass through the stages.
    pub(crate) fn wants(&self, direction: Direction) -> bool {
        self.stages.as_ref().is_some_and(|s| s.has_stages(direction) || s.has_pending(direction))
    }

    /// Whether frames that stages emitted wait to be sent or written.
    pub(crate) fn has_pending(&self, direction: Direction) -> bool {
        self.stages.as_ref().is_some_and(|stages| stages.has_pending(direction))
    }

    /// Whether stages hold frames.
    pub(crate) fn hold_frames(&self) -> bool {
        self.stages.as_ref().is_some_and(|stages| stages.holds_frames())
    }

    /// When the next tick is due.
    pub(crate) fn next_tick_ns(&self) -> Option<u64> {
        self.stages.as_ref().and_then(|stages| stages.due_ns())
    }

    pub(crate) fn tick(&self, now_ns: u64) {
        if let Some(stages) = &self.stages {
            stages.tick(now_ns);
        }
    }

    /// Passes a batch through the stages. Its frames lie in `drain`, which begins at `start` of the buffer
    /// that their offsets refer to; afterwards they lie in `buffer`. `account` tells the path about frames
    /// that stages dropped or created.
    pub(crate) fn process(
        &mut self,
        direction: Direction,
        batch: &mut FrameBatch,
        (drain, start): (&[u8], u32),
        account: impl FnOnce(&mut StageBatch),
    ) {
        let Some(stages) = &self.stages else { return };
        for frame in &mut batch.frames {
            frame.offset -= start;
        }
        for slice in &mut batch.slices {
            slice.offset -= start;
        }
        let needed = drain.len() + STAGE_ROOM;
        if self.buffer.len() < needed {
            self.buffer = Buffer::new(needed.next_power_of_two());
        }
        self.buffer.begin()[..drain.len()].copy_from_slice(drain);
        self.buffer.fill(drain.len());
        let mut stage_batch = StageBatch {
            batch: std::mem::take(batch),
            buffer: std::mem::take(&mut self.buffer),
            ..StageBatch::default()
        };
        stages.process(direction, &mut stage_batch, self.mtu);
        account(&mut stage_batch);
        (*batch, self.buffer) = (stage_batch.batch, stage_batch.buffer);
    }
}
