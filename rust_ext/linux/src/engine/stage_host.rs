//! Callbacks from the user's stages to the engine, from any thread.
//!
//! References are weak, because the engine owns the stages.

use std::sync::{Arc, Weak};

use pyfw_core::stage_api::{Direction, Notice, StageHost};

use super::{
    data_plane::DataPlaneHandle,
    events::{Severity, Value},
    shared::{DataCommand, Shared},
};

pub(crate) struct EngineStageHost {
    shared: Weak<Shared>,
    /// By direction; both are the same if one data thread serves both.
    handles: [Weak<DataPlaneHandle>; 2],
}

impl EngineStageHost {
    pub(crate) fn new(shared: &Arc<Shared>, handles: &[Arc<DataPlaneHandle>]) -> Self {
        let (outbound, inbound) = (&handles[0], &handles[handles.len() - 1]);
        Self {
            shared: Arc::downgrade(shared),
            handles: [Arc::downgrade(outbound), Arc::downgrade(inbound)],
        }
    }
}

impl StageHost for EngineStageHost {
    fn wake(&self, direction: Direction) {
        if let Some(handle) = self.handles[direction as usize].upgrade() {
            handle.commands.post([DataCommand::Wake]);
        }
    }

    fn wake_for_tick(&self) {
        // The data thread of the outbound path ticks the stages.
        self.wake(Direction::Outbound);
    }

    fn notify(&self, notice: Notice) {
        let Some(shared) = self.shared.upgrade() else { return };
        let Notice { message, stage, text, times } = notice;
        let fields = [
            ("stage", Value::Text(stage)),
            ("reason", Value::Text(text)),
            ("times", Value::Number(times as i64)),
        ];
        shared.emit_event(Severity::Error, message, fields);
    }

    fn close(&self, reason: String) {
        if let Some(shared) = self.shared.upgrade() {
            shared.end(reason);
            Direction::BOTH.iter().for_each(|&direction| self.wake(direction));
        }
    }
}
