//! handle: what a stage's own hands reach, in its calls and outside of them, from any thread.
//!
//! In: frames that it holds, sends on or makes, counts, the wish for a tick. Out: what waits for the
//! paths, and a word to whoever has to fetch it. Drops and order: see `state`.

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
        fixup::Unfit,
        state::{EmitError, Held, StageState},
    },
};

/// See the module.
pub struct StageHandle {
    pub(super) state: StageState,
    pub(super) shared: Arc<ChainShared>,
    /// The path whose batch the stage is being called with, plus 1; 0: none.
    pub(super) calling: AtomicU8,
    pub(super) due_ns: AtomicU64,
    /// The MTU it saw last.
    pub(super) mtu: AtomicU64,
}

impl StageHandle {
    pub(super) fn new(options: &SlotOptions, shared: Arc<ChainShared>) -> Self {
        let due_ns = if options.tick_ns == 0 { u64::MAX } else { 0 };
        Self {
            state: StageState::new(options.hold, options.reorders),
            shared,
            calling: AtomicU8::new(0),
            due_ns: AtomicU64::new(due_ns),
            mtu: AtomicU64::new(1420),
        }
    }

    /// Where the handler's holdings and counters are kept.
    pub fn state(&self) -> &StageState {
        &self.state
    }

    /// Sends a held frame on; see [`StageState::emit`].
    ///
    /// # Errors
    /// See [`EmitError`].
    pub fn emit(&self, held: &mut Option<Held>, direction: Direction) -> Result<(), EmitError> {
        let from = held.as_ref().map(|held| held.direction);
        self.state.emit(held, direction)?;
        self.wake(direction);
        if let Some(from) = from.filter(|&from| from != direction) {
            self.wake(from);
        }
        Ok(())
    }

    /// Sends a packet of the stage's own; see [`StageState::make`].
    ///
    /// # Errors
    /// Where it is no packet.
    pub fn make(&self, bytes: Vec<u8>, direction: Direction) -> Result<(), Unfit> {
        self.state.make(bytes, direction, self.mtu.load(Relaxed) as usize)?;
        self.wake(direction);
        Ok(())
    }

    /// A held frame is gone.
    pub fn forget(&self, held: &Held) {
        self.state.forget(held);
        self.wake(held.direction);
    }

    /// Asks for a tick.
    pub fn wake_at(&self, when_ns: u64) {
        if self.due_ns.fetch_min(when_ns.max(1), SeqCst) > when_ns {
            self.shared.wake_for_tick();
        }
    }

    /// Whoever is called with a batch of that path takes what waits before it returns.
    pub(super) fn wake(&self, direction: Direction) {
        if self.calling.load(SeqCst) != direction as u8 + 1 {
            self.shared.with(|host| host.wake(direction));
        }
    }
}
