//! handle: what a stage's code calls back, during its calls and outside of them, from any thread.

use std::sync::{
    Arc,
    atomic::{
        AtomicU8, AtomicU64,
        Ordering::{Relaxed, SeqCst},
    },
};

use super::{options::SlotOptions, shared::ChainShared};
use crate::{
    stage_api::Direction,
    stages::{
        fixup::PacketError,
        state::{EmitError, HeldFrame, StageState},
    },
};

/// Holds, emits and counts for one stage, and wakes the paths that have to act on it.
pub struct StageHandle {
    pub(super) state: StageState,
    pub(super) shared: Arc<ChainShared>,
    /// Direction of the batch that the stage is being called with, plus 1; 0: none.
    pub(super) in_call: AtomicU8,
    /// When the next tick is due; `u64::MAX`: never.
    pub(super) due_ns: AtomicU64,
    /// MTU of the last batch.
    pub(super) mtu: AtomicU64,
}

impl StageHandle {
    pub(super) fn new(options: &SlotOptions, shared: Arc<ChainShared>) -> Self {
        let due_ns = if options.tick_ns == 0 { u64::MAX } else { 0 };
        Self {
            state: StageState::new(options.hold, options.reorders),
            shared,
            in_call: AtomicU8::new(0),
            due_ns: AtomicU64::new(due_ns),
            mtu: AtomicU64::new(1420),
        }
    }

    /// Returns the stage's held frames and counters.
    pub fn state(&self) -> &StageState {
        &self.state
    }

    /// Emits a held frame; see [`StageState::emit`].
    ///
    /// # Errors
    /// See [`EmitError`].
    pub fn emit(
        &self,
        held: &mut Option<HeldFrame>,
        direction: Direction,
    ) -> Result<(), EmitError> {
        let held_direction = held.as_ref().map(|held| held.direction);
        self.state.emit(held, direction)?;
        self.wake(direction);
        if let Some(other) = held_direction.filter(|&other| other != direction) {
            self.wake(other);
        }
        Ok(())
    }

    /// Emits a packet that the stage made; see [`StageState::emit_packet`].
    ///
    /// # Errors
    /// If the bytes are not an IP packet.
    pub fn emit_packet(&self, bytes: Vec<u8>, direction: Direction) -> Result<(), PacketError> {
        self.state.emit_packet(bytes, direction, self.mtu.load(Relaxed) as usize)?;
        self.wake(direction);
        Ok(())
    }

    /// Drops a held frame that the stage no longer references.
    pub fn forget(&self, held: &HeldFrame) {
        self.state.forget(held);
        self.wake(held.direction);
    }

    /// Requests a tick at `when_ns`.
    pub fn wake_at(&self, when_ns: u64) {
        if self.due_ns.fetch_min(when_ns.max(1), SeqCst) > when_ns {
            self.shared.wake_for_tick();
        }
    }

    /// Wakes a path, unless the stage is being called with a batch of it: that call takes what is pending.
    pub(super) fn wake(&self, direction: Direction) {
        if self.in_call.load(SeqCst) != direction as u8 + 1 {
            self.shared.with_host(|host| host.wake(direction));
        }
    }
}
