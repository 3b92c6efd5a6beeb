//! state: the frames that a stage holds or has emitted, and its counters. Safe to use from any thread.
//!
//! Held frames are bounded; a frame that the stage no longer references, or that outlives the stage, is
//! dropped and counted. A held frame that a later one of its flow has passed cannot be emitted, unless the
//! stage reorders.

mod counts;
mod held;
mod reason;

use std::{
    collections::HashMap,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use self::{counts::Counters, held::order};
pub use self::{
    counts::{CallCounts, StageCounts},
    held::{Emission, EmitError, HeldFrame, HoldLimit, Place},
    reason::Reason,
};
use super::fixup::{PacketError, Segmentation, fixup};
use crate::stage_api::{CountAdjustment, Direction};
use crate::{
    frame::{Frame, NO_PEER},
    sync,
    wireguard::peer::PeerId,
};

/// The held frames and counters of one stage.
#[derive(Debug)]
pub struct StageState {
    state: Mutex<State>,
    /// Number of emissions and count adjustments that wait for a path, by direction.
    pending: [AtomicUsize; 2],
}

#[derive(Debug, Default)]
struct State {
    limit: HoldLimit,
    reorders: bool,
    stopped: bool,
    next_id: u64,
    held: HashMap<u64, HeldRecord>,
    held_bytes: usize,
    held_segments: u64,
    /// Flows with held frames.
    flows: HashMap<(Direction, u64), HeldFlow>,
    emitted: [Vec<Emission>; 2],
    adjustments: [Vec<CountAdjustment>; 2],
    counters: Counters,
}

/// What is needed to account for a held frame without the frame.
#[derive(Debug)]
struct HeldRecord {
    direction: Direction,
    flow: u64,
    peer: u32,
    segments: u64,
    bytes: usize,
}

#[derive(Debug, Default)]
struct HeldFlow {
    /// Number of held frames.
    held: usize,
    /// [`Place::order`] of the last frame of the flow that has passed the stage.
    passed: u64,
}

impl StageState {
    /// Returns a state without frames.
    pub fn new(limit: HoldLimit, reorders: bool) -> Self {
        let state = State { limit, reorders, ..State::default() };
        Self { state: Mutex::new(state), pending: Default::default() }
    }

    /// Sets how much may be held from here on, and whether held frames may be emitted in any order.
    pub fn set_limits(&self, limit: HoldLimit, reorders: bool) {
        let mut state = self.state();
        (state.limit, state.reorders) = (limit, reorders);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        sync::lock(&self.state)
    }

    // Counters

    /// Returns the number of a drop reason. `None` if the name is invalid or the stage has too many.
    pub fn reason(&self, name: &str) -> Option<Reason> {
        self.state().counters.reason(name)
    }

    /// Adds to a counter of the stage's own. False if the name is invalid or the stage has too many.
    pub fn count(&self, name: &str, amount: u64) -> bool {
        self.state().counters.add(name, amount)
    }

    /// Counts one call.
    pub fn record_call(&self, call: CallCounts, dropped: &[(Reason, u64)]) {
        self.state().counters.add_call(call, dropped);
    }

    /// Returns a snapshot of the counters.
    pub fn counts(&self) -> StageCounts {
        let state = self.state();
        StageCounts {
            held_frames: state.held.len() as u64,
            held_segments: state.held_segments,
            held_bytes: state.held_bytes as u64,
            ..state.counters.snapshot()
        }
    }

    // Held frames

    /// Whether one more frame of this length may be held.
    pub fn may_hold(&self, bytes: usize) -> bool {
        let state = self.state();
        state.held.len() < state.limit.frames && state.held_bytes + bytes <= state.limit.bytes
    }

    /// Whether any frame is held.
    pub fn holds_frames(&self) -> bool {
        !self.state().held.is_empty()
    }

    /// Holds a frame. After [`Self::stop`] it is dropped, and emitting what this returns fails.
    pub fn hold(
        &self,
        direction: Direction,
        frame: Frame,
        bytes: Vec<u8>,
        received_ns: u64,
        place: Place,
    ) -> HeldFrame {
        let mut state = self.state();
        let id = state.next_id;
        state.next_id += 1;
        let (flow, segments) = (frame.flow(), u64::from(frame.segments));
        let record = HeldRecord { direction, flow, peer: frame.peer, segments, bytes: bytes.len() };
        if state.stopped {
            self.drop_held(&mut state, &record, Reason::STOPPED);
        } else {
            state.held_bytes += bytes.len();
            state.held_segments += segments;
            state.flows.entry((direction, flow)).or_default().held += 1;
            state.held.insert(id, record);
        }
        HeldFrame { id, direction, frame, bytes, received_ns, place }
    }

    /// Records frames that passed the stage, each with its position: held ones of the same flow may not be
    /// emitted behind them.
    pub fn record_passed<'f>(
        &self,
        direction: Direction,
        call: u64,
        frames: impl Iterator<Item = (u32, &'f Frame)>,
    ) {
        let mut state = self.state();
        if state.flows.is_empty() {
            return;
        }
        for (position, frame) in frames {
            if let Some(flow) = state.flows.get_mut(&(direction, frame.flow())) {
                flow.passed = flow.passed.max(order(call, position));
            }
        }
    }

    /// Emits a held frame in `direction`. Takes the frame out of `slot`, unless that fails.
    ///
    /// # Errors
    /// See [`EmitError`].
    pub fn emit(
        &self,
        slot: &mut Option<HeldFrame>,
        direction: Direction,
    ) -> Result<(), EmitError> {
        let mut state = self.state();
        let known = slot.as_ref().filter(|held| state.held.contains_key(&held.id));
        let Some(held) = known else { return Err(EmitError::NotHeld) };
        let stays = direction == held.direction;
        if stays && !state.reorders {
            let key = (direction, held.frame.flow());
            if state.flows.get(&key).is_some_and(|flow| flow.passed > held.place.order()) {
                return Err(EmitError::Overtaken);
            }
        }
        let passed = if stays { held.place.order() } else { 0 };
        let record = state.release(held.id, passed).filter(|_| !stays);
        if let Some(record) = record {
            self.drop_held(&mut state, &record, Reason::TURNED);
        }
        let Some(held) = slot.take() else { return Err(EmitError::NotHeld) };
        let peer = if stays { held.frame.peer } else { NO_PEER };
        let HeldFrame { direction: from, frame, bytes, place, .. } = held;
        let (frame, held) = (Frame { peer, ..frame }, Some((from, place)));
        self.push(&mut state, Emission { direction, frame, bytes, held });
        Ok(())
    }

    /// Emits a packet that the stage made.
    ///
    /// # Errors
    /// If the bytes are not an IP packet.
    pub fn emit_packet(
        &self,
        mut bytes: Vec<u8>,
        direction: Direction,
        mtu: usize,
    ) -> Result<(), PacketError> {
        let frame = fixup(&mut bytes, Segmentation { segment_size: 0, mtu })?;
        self.push(&mut self.state(), Emission { direction, frame, bytes, held: None });
        Ok(())
    }

    /// Emits answers, whose lengths and checksums are correct.
    pub fn push_answers(
        &self,
        direction: Direction,
        answers: impl Iterator<Item = (Frame, Vec<u8>)>,
    ) {
        let mut state = self.state();
        for (frame, bytes) in answers {
            self.push(&mut state, Emission { direction, frame, bytes, held: None });
        }
    }

    fn push(&self, state: &mut State, emission: Emission) {
        self.pending[emission.direction as usize].fetch_add(1, SeqCst);
        state.emitted[emission.direction as usize].push(emission);
    }

    /// Drops a held frame that the stage no longer references.
    pub fn forget(&self, held: &HeldFrame) {
        let mut state = self.state();
        if let Some(record) = state.release(held.id, 0) {
            self.drop_held(&mut state, &record, Reason::FORGOTTEN);
        }
    }

    /// Drops all held frames, and every frame that the stage tries to hold from here on.
    pub fn stop(&self) {
        let mut state = self.state();
        state.stopped = true;
        let ids: Vec<u64> = state.held.keys().copied().collect();
        for id in ids {
            if let Some(record) = state.release(id, 0) {
                self.drop_held(&mut state, &record, Reason::STOPPED);
            }
        }
    }

    fn drop_held(&self, state: &mut State, record: &HeldRecord, reason: Reason) {
        state.counters.add_drop(reason, record.segments);
        state.adjustments[record.direction as usize].push(CountAdjustment {
            peer: PeerId(record.peer),
            segments: record.segments,
            created: false,
        });
        self.pending[record.direction as usize].fetch_add(1, SeqCst);
    }

    // Pending for a path

    /// Whether emissions or count adjustments wait for a path.
    pub fn has_pending(&self, direction: Direction) -> bool {
        self.pending[direction as usize].load(SeqCst) != 0
    }

    /// Moves what waits for a path into `emitted` and `adjustments`.
    pub fn take_pending(
        &self,
        direction: Direction,
        emitted: &mut Vec<Emission>,
        adjustments: &mut Vec<CountAdjustment>,
    ) {
        let mut state = self.state();
        self.pending[direction as usize].store(0, SeqCst);
        emitted.append(&mut state.emitted[direction as usize]);
        adjustments.append(&mut state.adjustments[direction as usize]);
    }
}

impl State {
    /// Ends the hold of a frame. `passed` is its order if it goes on in its own direction.
    fn release(&mut self, id: u64, passed: u64) -> Option<HeldRecord> {
        let record = self.held.remove(&id)?;
        self.held_bytes -= record.bytes;
        self.held_segments -= record.segments;
        let key = (record.direction, record.flow);
        if let Some(flow) = self.flows.get_mut(&key) {
            flow.held -= 1;
            flow.passed = flow.passed.max(passed);
            if flow.held == 0 {
                self.flows.remove(&key);
            }
        }
        Some(record)
    }
}

#[cfg(test)]
mod tests;
