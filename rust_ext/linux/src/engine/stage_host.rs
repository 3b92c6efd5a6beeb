//! What stages can ask of the engine around them.
//!
//! In: calls from any thread. Out: a wake-up of the data thread that is meant, events, an end. The
//! engine owns the stages, so it is held weakly from here.

use std::sync::{Arc, Weak};

use pyfw_core::stage_api::{Direction, Notice, StageHost};

use super::{
    data_plane::DataPlaneHandle,
    events::{Severity, Value},
    shared::{DataCommand, Shared},
};

/// See the module.
pub(crate) struct EngineStageHost {
    shared: Weak<Shared>,
    /// Of outbound, which gives ticks, and of inbound.
    handles: [Weak<DataPlaneHandle>; 2],
}

impl EngineStageHost {
    pub(crate) fn new(shared: &Arc<Shared>, handles: &[Arc<DataPlaneHandle>]) -> Self {
        let (first, last) = (&handles[0], &handles[handles.len() - 1]);
        Self {
            shared: Arc::downgrade(shared),
            handles: [Arc::downgrade(first), Arc::downgrade(last)],
        }
    }
}

impl StageHost for EngineStageHost {
    fn wake(&self, direction: Direction) {
        if let Some(handle) = self.handles[direction as usize].upgrade() {
            handle.commands.post([DataCommand::Look]);
        }
    }

    fn wake_for_tick(&self) {
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
