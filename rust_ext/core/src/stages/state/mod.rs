//! state: what a stage holds, sends on and counts; safe to enter from any thread.
//!
//! In: frames that a stage takes out of a batch, and what it does with them. Out: emissions for the
//! paths, adjustments for their counters, the stage's own counters. Drops: held frames that are
//! forgotten, or that outlive their stage; what is held beyond the bound is refused. Order: a frame
//! that a later one of its flow has passed cannot be emitted, unless the stage reorders.

mod reason;

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

pub use self::reason::Reason;
use super::fixup::{Cut, Unfit, fixup};
use crate::stage_api::{CountAdjustment, Direction};
use crate::{frame::Frame, sync, wireguard::peer::PeerId};

/// Names of reasons and counters that one stage may make up.
const NAMES_MAX: usize = 64;

/// How much a stage may hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HoldLimit {
    /// Frames.
    pub frames: usize,
    /// Their bytes.
    pub bytes: usize,
}

/// A frame in a stage's keeping.
#[derive(Debug)]
pub struct Held {
    id: u64,
    /// The path it was on.
    pub direction: Direction,
    /// Its row; offset 0.
    pub frame: Frame,
    /// Its bytes, in one piece.
    pub bytes: Vec<u8>,
    /// When it was read.
    pub received_ns: u64,
    /// The call in which it was taken out, and its row there.
    pub call: u64,
    /// See `call`.
    pub row: u32,
    ticket: u64,
}

/// A frame on its way behind a stage.
#[derive(Debug)]
pub struct Emission {
    /// On which path.
    pub direction: Direction,
    /// Its row; offset 0.
    pub frame: Frame,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Where it was held; `None` where the stage made it.
    pub held: Option<WasHeld>,
}

/// Where an emitted frame came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WasHeld {
    /// The path it was on.
    pub direction: Direction,
    /// The call in which it was taken out, and its row there.
    pub call: u64,
    /// See `call`.
    pub row: u32,
}

/// Why a frame cannot be emitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmitError {
    /// It was emitted before, or its stage was stopped.
    Gone,
    /// A later frame of its flow has passed, and the stage does not say that it reorders.
    Overtaken,
    /// No IP packet.
    Unfit(Unfit),
}

/// What a stage has counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StageCounts {
    /// Calls of `process`, and those that failed; calls of `tick` that failed are among the latter.
    pub calls: u64,
    /// See `calls`.
    pub failures: u64,
    /// Frames and segments it was shown.
    pub frames: u64,
    /// See `frames`.
    pub segments: u64,
    /// Segments it made.
    pub created: u64,
    /// Time inside its calls, and the longest, nanoseconds.
    pub time_ns: u64,
    /// See `time_ns`.
    pub longest_ns: u64,
    /// Frames it holds.
    pub held_frames: u64,
    /// Their segments.
    pub held_segments: u64,
    /// Their bytes.
    pub held_bytes: u64,
    /// Segments dropped, by reason.
    pub drops: BTreeMap<String, u64>,
    /// What it counts itself.
    pub own: BTreeMap<String, u64>,
}

/// See the module.
#[derive(Debug)]
pub struct StageState {
    state: Mutex<State>,
    /// Emissions and adjustments that wait, by direction.
    pending: [AtomicUsize; 2],
}

#[derive(Debug, Default)]
struct State {
    limit: HoldLimit,
    reorders: bool,
    stopped: bool,
    next_id: u64,
    held: HashMap<u64, Note>,
    held_bytes: usize,
    /// The last ticket that passed, of flows with held frames.
    flows: HashMap<(Direction, u64), Flow>,
    emitted: [Vec<Emission>; 2],
    adjustments: [Vec<CountAdjustment>; 2],
    names: Vec<String>,
    drops: Vec<u64>,
    counts: StageCounts,
}

/// What is noted of a held frame.
#[derive(Debug)]
struct Note {
    direction: Direction,
    flow: u64,
    peer: u32,
    segments: u64,
    bytes: usize,
}

#[derive(Debug, Default)]
struct Flow {
    held: usize,
    passed: u64,
}

impl StageState {
    /// An empty one.
    pub fn new(limit: HoldLimit, reorders: bool) -> Self {
        let state = Self { state: Mutex::default(), pending: Default::default() };
        state.set_rules(limit, reorders);
        state
    }

    /// What may be held from now on, and whether the order in which it is emitted is free.
    pub fn set_rules(&self, limit: HoldLimit, reorders: bool) {
        let mut state = self.state();
        (state.limit, state.reorders) = (limit, reorders);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        sync::lock(&self.state)
    }

    // Names

    /// The number of a reason; `None` where there are too many, or it is no name.
    pub fn reason(&self, name: &str) -> Option<Reason> {
        if let Some(ours) = Reason::OURS.iter().position(|&known| known == name) {
            return Some(Reason(ours as u8));
        }
        let mut state = self.state();
        let at = match state.names.iter().position(|known| known == name) {
            Some(at) => at,
            None if state.names.len() < NAMES_MAX && is_name(name) => {
                state.names.push(name.to_owned());
                state.names.len() - 1
            }
            None => return None,
        };
        Some(Reason((Reason::OURS.len() + at) as u8))
    }

    /// Adds to a counter of the stage's own; false where there are too many, or it is no name.
    pub fn count(&self, name: &str, amount: u64) -> bool {
        let own = &mut self.state().counts.own;
        if let Some(count) = own.get_mut(name) {
            *count = count.saturating_add(amount);
            return true;
        }
        let fits = own.len() < NAMES_MAX && is_name(name);
        if fits {
            own.insert(name.to_owned(), amount);
        }
        fits
    }

    // Holding

    /// Whether a frame of so many bytes may be held as well.
    pub fn may_hold(&self, bytes: usize) -> bool {
        let state = self.state();
        state.held.len() < state.limit.frames && state.held_bytes + bytes <= state.limit.bytes
    }

    /// Whether any frame is held.
    pub fn holds(&self) -> bool {
        !self.state().held.is_empty()
    }

    /// Takes a frame into keeping. `place` orders it among the frames of its call.
    #[allow(clippy::too_many_arguments)] // all that a held frame is
    pub fn hold(
        &self,
        direction: Direction,
        frame: Frame,
        bytes: Vec<u8>,
        received_ns: u64,
        call: u64,
        row: u32,
        place: u32,
    ) -> Held {
        let mut state = self.state();
        let id = state.next_id;
        state.next_id += 1;
        let (flow, segments) = (frame.flow(), u64::from(frame.segments));
        let note = Note { direction, flow, peer: frame.peer, segments, bytes: bytes.len() };
        if state.stopped {
            // In the middle of its last call.
            self.book(&mut state, &note, Reason::STOPPED);
        } else {
            state.held_bytes += bytes.len();
            state.counts.held_segments += segments;
            state.flows.entry((direction, flow)).or_default().held += 1;
            state.held.insert(id, note);
        }
        let ticket = ticket(call, place);
        Held { id, direction, frame, bytes, received_ns, call, row, ticket }
    }

    /// Notes the frames that went on, by flow and place.
    pub fn passed<'f>(
        &self,
        direction: Direction,
        call: u64,
        frames: impl Iterator<Item = (u32, &'f Frame)>,
    ) {
        let mut state = self.state();
        if state.flows.is_empty() {
            return;
        }
        for (place, frame) in frames {
            if let Some(flow) = state.flows.get_mut(&(direction, frame.flow())) {
                flow.passed = flow.passed.max(ticket(call, place));
            }
        }
    }

    /// Sends a held frame on, which is taken where that can be. `direction` is the path it takes from
    /// here.
    ///
    /// # Errors
    /// See [`EmitError`].
    pub fn emit(&self, kept: &mut Option<Held>, direction: Direction) -> Result<(), EmitError> {
        let mut state = self.state();
        let known = kept.as_ref().filter(|held| state.held.contains_key(&held.id));
        let Some(held) = known else { return Err(EmitError::Gone) };
        let stays = direction == held.direction;
        if stays && !state.reorders {
            let key = (direction, held.frame.flow());
            if state.flows.get(&key).is_some_and(|flow| flow.passed > held.ticket) {
                return Err(EmitError::Overtaken);
            }
        }
        let passed = if stays { held.ticket } else { 0 };
        let note = state.release(held.id, passed).filter(|_| !stays);
        if let Some(note) = note {
            self.book(&mut state, &note, Reason::TURNED);
        }
        let Some(held) = kept.take() else { return Err(EmitError::Gone) };
        let Held { direction: from, frame, bytes, call, row, .. } = held;
        let frame = if stays { frame } else { Frame { peer: crate::frame::NO_PEER, ..frame } };
        let held = Some(WasHeld { direction: from, call, row });
        self.push(&mut state, Emission { direction, frame, bytes, held });
        Ok(())
    }

    /// Sends a packet of the stage's own.
    ///
    /// # Errors
    /// Where it is no packet.
    pub fn make(&self, mut bytes: Vec<u8>, direction: Direction, mtu: usize) -> Result<(), Unfit> {
        let frame = fixup(&mut bytes, Cut { segment_size: 0, mtu })?;
        self.push(&mut self.state(), Emission { direction, frame, bytes, held: None });
        Ok(())
    }

    /// Sends packets that were repaired before: answers.
    pub fn answer(&self, direction: Direction, answers: impl Iterator<Item = (Frame, Vec<u8>)>) {
        let mut state = self.state();
        for (frame, bytes) in answers {
            self.push(&mut state, Emission { direction, frame, bytes, held: None });
        }
    }

    fn push(&self, state: &mut State, emission: Emission) {
        self.pending[emission.direction as usize].fetch_add(1, SeqCst);
        state.emitted[emission.direction as usize].push(emission);
    }

    /// A held frame that nobody has any more.
    pub fn forget(&self, held: &Held) {
        let mut state = self.state();
        if let Some(note) = state.release(held.id, 0) {
            self.book(&mut state, &note, Reason::FORGOTTEN);
        }
    }

    /// Drops all that is held, and what is taken into keeping from now on: the stage is gone.
    pub fn stop(&self) {
        let mut state = self.state();
        state.stopped = true;
        let ids: Vec<u64> = state.held.keys().copied().collect();
        for id in ids {
            if let Some(note) = state.release(id, 0) {
                self.book(&mut state, &note, Reason::STOPPED);
            }
        }
    }

    fn book(&self, state: &mut State, note: &Note, reason: Reason) {
        state.count_drop(reason, note.segments);
        let booking =
            CountAdjustment { peer: PeerId(note.peer), segments: note.segments, created: false };
        state.adjustments[note.direction as usize].push(booking);
        self.pending[note.direction as usize].fetch_add(1, SeqCst);
    }

    // What the chain takes

    /// Whether something waits for a path.
    pub fn has_pending(&self, direction: Direction) -> bool {
        self.pending[direction as usize].load(SeqCst) != 0
    }

    /// Takes what waits for a path.
    pub fn take(
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

    /// Counts one call.
    pub fn called(
        &self,
        shown: (u64, u64),
        dropped: &[(Reason, u64)],
        created: u64,
        time_ns: u64,
        failed: bool,
    ) {
        let mut state = self.state();
        let counts = &mut state.counts;
        counts.calls += u64::from(shown.0 != 0);
        counts.failures += u64::from(failed);
        counts.frames += shown.0;
        counts.segments += shown.1;
        counts.created += created;
        counts.time_ns += time_ns;
        counts.longest_ns = counts.longest_ns.max(time_ns);
        for &(reason, segments) in dropped {
            state.count_drop(reason, segments);
        }
    }

    /// What was counted.
    pub fn counts(&self) -> StageCounts {
        let state = self.state();
        let mut counts = state.counts.clone();
        counts.held_frames = state.held.len() as u64;
        counts.held_bytes = state.held_bytes as u64;
        for (number, &count) in state.drops.iter().enumerate().filter(|(_, count)| **count != 0) {
            counts.drops.insert(state.name(Reason(number as u8)).into_owned(), count);
        }
        counts
    }
}

impl State {
    fn release(&mut self, id: u64, passed: u64) -> Option<Note> {
        let note = self.held.remove(&id)?;
        self.held_bytes -= note.bytes;
        self.counts.held_segments -= note.segments;
        let key = (note.direction, note.flow);
        if let Some(flow) = self.flows.get_mut(&key) {
            flow.held -= 1;
            flow.passed = flow.passed.max(passed);
            if flow.held == 0 {
                self.flows.remove(&key);
            }
        }
        Some(note)
    }

    fn count_drop(&mut self, reason: Reason, segments: u64) {
        let at = usize::from(reason.0);
        if self.drops.len() <= at {
            self.drops.resize(at + 1, 0);
        }
        self.drops[at] += segments;
    }

    fn name(&self, reason: Reason) -> Cow<'_, str> {
        let at = usize::from(reason.0);
        match Reason::OURS.get(at) {
            Some(&ours) => ours.into(),
            None => self.names[at - Reason::OURS.len()].as_str().into(),
        }
    }
}

/// Orders all frames that a stage was ever shown.
fn ticket(call: u64, place: u32) -> u64 {
    call << 32 | u64::from(place)
}

/// Letters, digits and "_", as the other counters; at most 64.
fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests;
