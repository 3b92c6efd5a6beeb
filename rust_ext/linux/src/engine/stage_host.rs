//! What stages can ask of the engine around them.
//!
//! In: calls from any thread. Out: a wake-up of the data thread that is meant, events, an end. The
//! engine owns the stages, so it is held weakly from here.

use std::sync::{Arc, Weak};

use pyfw_core::stages::{Direction, Notice, Surroundings};

use super::{
    data_plane::Seat,
    events::{Severity, Value},
    shared::{DataCommand, Shared},
};

/// See the module.
pub(crate) struct EngineSide {
    shared: Weak<Shared>,
    /// Of outbound, which gives ticks, and of inbound.
    seats: [Weak<Seat>; 2],
}

impl EngineSide {
    pub(crate) fn new(shared: &Arc<Shared>, seats: &[Arc<Seat>]) -> Self {
        let (first, last) = (&seats[0], &seats[seats.len() - 1]);
        Self {
            shared: Arc::downgrade(shared),
            seats: [Arc::downgrade(first), Arc::downgrade(last)],
        }
    }
}

impl Surroundings for EngineSide {
    fn wake(&self, direction: Direction) {
        if let Some(seat) = self.seats[direction as usize].upgrade() {
            seat.commands.post([DataCommand::Look]);
        }
    }

    fn wake_for_tick(&self) {
        self.wake(Direction::Outbound);
    }

    fn say(&self, notice: Notice) {
        let Some(shared) = self.shared.upgrade() else { return };
        let Notice { message, stage, text, times } = notice;
        let fields = [
            ("stage", Value::Text(stage)),
            ("reason", Value::Text(text)),
            ("times", Value::Number(times as i64)),
        ];
        shared.say(Severity::Error, message, fields);
    }

    fn close(&self, reason: String) {
        if let Some(shared) = self.shared.upgrade() {
            shared.end(reason);
            Direction::BOTH.iter().for_each(|&direction| self.wake(direction));
        }
    }
}
