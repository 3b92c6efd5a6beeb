//! chain: calls the stages of one tunnel, in order.
//!
//! In: batches of both paths; frames that stages emitted between batches. Out: the batch behind the last
//! stage. Drops: see `slot`. Order: one thread at a time is inside a stage, and batches reach it in order;
//! what a removed stage emitted goes before the next batch. Time: calls `tick` of stages that asked for it.

mod handle;
mod handler;
mod options;
mod shared;
mod slot;

use std::{
    cmp::Reverse,
    sync::{
        Arc, Mutex, MutexGuard, RwLock,
        atomic::{
            AtomicBool,
            Ordering::{Relaxed, SeqCst},
        },
    },
};

pub use self::{
    handle::StageHandle,
    handler::{Call, Failure, Runtime, StageHandler},
    options::SlotOptions,
    slot::Slot,
};
use self::{
    shared::{CallWatch, ChainShared, TICKS},
    slot::BatchContext,
};
use crate::{
    stage_api::{Direction, Notice, Outcome, RunningCall, StageBatch, StageHost, Stages},
    sync,
    wireguard::peer::PeerId,
};

/// A call of this length is checked for a wait for the GIL, and a thread that waits for the GIL no longer
/// hides it.
const LONG_CALL_NS: u64 = 100_000_000;

/// How long threads waited for the GIL before a batch or tick.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WaitCounts {
    /// Number of times a thread attached to the interpreter.
    pub entries: u64,
    /// Sum of the waits, in nanoseconds.
    pub total_ns: u64,
    /// Longest wait, in nanoseconds.
    pub longest_ns: u64,
}

/// The stages of one tunnel.
pub struct Chain {
    runtime: Box<dyn Runtime>,
    slots: RwLock<Arc<[Arc<Slot>]>>,
    /// Removed stages with frames or count adjustments that a path has still to take.
    removed: Mutex<Vec<Arc<Slot>>>,
    shared: Arc<ChainShared>,
    has_stages: [AtomicBool; 2],
    waits: Mutex<WaitCounts>,
}

impl Chain {
    /// Returns a chain without stages.
    pub fn new(runtime: Box<dyn Runtime>) -> Self {
        Self {
            runtime,
            slots: RwLock::new(Arc::new([])),
            removed: Mutex::default(),
            shared: Arc::default(),
            has_stages: Default::default(),
            waits: Mutex::default(),
        }
    }

    /// Returns a slot for a stage of this chain. The stage is called once [`Self::set`] includes the slot.
    pub fn slot(&self, options: SlotOptions, handler: Box<dyn StageHandler>) -> Arc<Slot> {
        let id = self.shared.last_id.fetch_add(1, Relaxed) + 1;
        Arc::new(Slot::new(id, options, handler, Arc::clone(&self.shared)))
    }

    /// Replaces the stages between batches. Frames that removed stages hold are dropped; a call that is
    /// inside one of them still returns ([`Slot::is_busy`]). Called by one thread at a time.
    pub fn set(&self, slots: Vec<Arc<Slot>>) {
        let before = self.slots();
        let removed = before.iter().filter(|slot| !slots.iter().any(|new| Arc::ptr_eq(slot, new)));
        // Before the new stages are visible: what the old ones emitted is older than any batch of the new.
        for slot in removed {
            slot.mark_removed();
            self.removed().push(Arc::clone(slot));
        }
        *sync::write(&self.slots) = slots.into();
        self.update_directions();
        for direction in Direction::BOTH {
            self.shared.with_host(|host| host.wake(direction));
        }
        self.shared.wake_for_tick();
    }

    fn removed(&self) -> MutexGuard<'_, Vec<Arc<Slot>>> {
        sync::lock(&self.removed)
    }

    /// Puts what removed stages emitted before the batch, and takes their count adjustments.
    fn flush_removed(&self, direction: Direction, stage_batch: &mut StageBatch) {
        let mut removed = self.removed();
        for slot in removed.iter().filter(|slot| slot.handle.state.has_pending(direction)) {
            slot.flush_pending(direction, stage_batch);
        }
        removed.retain(|slot| {
            slot.is_busy() || Direction::BOTH.iter().any(|&d| slot.handle.state.has_pending(d))
        });
    }

    /// Returns the stages in order.
    pub fn slots(&self) -> Arc<[Arc<Slot>]> {
        Arc::clone(&sync::read(&self.slots))
    }

    /// Returns how long threads waited for the GIL.
    pub fn waits(&self) -> WaitCounts {
        *sync::lock(&self.waits)
    }

    /// Takes the notices kept while the chain had no host.
    pub fn take_notices(&self) -> Vec<Notice> {
        std::mem::take(&mut *sync::lock(&self.shared.notices))
    }

    /// Recomputes which directions have stages. Called after a slot's options have changed.
    pub fn update_directions(&self) {
        let slots = self.slots();
        for direction in Direction::BOTH {
            let serves = |slot: &Arc<Slot>| {
                slot.options().directions[direction as usize] && !slot.is_removed()
            };
            self.has_stages[direction as usize].store(slots.iter().any(serves), SeqCst);
        }
    }

    /// Returns the stage that a thread is in (0: it waits for the GIL), and for how long.
    fn active_call(&self, watch: &CallWatch, now_ns: u64) -> Option<(u64, u64)> {
        let (since_ns, stage) = (watch.since_ns.load(Relaxed), watch.stage.load(Relaxed));
        let total_ns = Some(now_ns.saturating_sub(since_ns)).filter(|_| since_ns != 0)?;
        let waits_for_gil = stage != 0
            && total_ns >= LONG_CALL_NS
            && self.runtime.waits_for_gil(watch.thread_id.load(Relaxed), now_ns);
        if waits_for_gil {
            watch.gil_wait_ns.store(now_ns, Relaxed);
            return Some((0, total_ns));
        }
        // After a wait the stage's time starts again.
        let start_ns = since_ns.max(watch.gil_wait_ns.load(Relaxed));
        Some((stage, now_ns.saturating_sub(start_ns)))
    }

    /// Runs `body` attached to the interpreter, under the watch of that index.
    fn run_attached(&self, watch: usize, body: &mut dyn FnMut()) {
        let watch = &self.shared.calls[watch];
        let entry = watch.entries.fetch_add(1, Relaxed) + 1;
        watch.stage.store(0, Relaxed);
        watch.thread_id.store(self.runtime.thread_id(), Relaxed);
        watch.since_ns.store(self.runtime.now_ns(), Relaxed);
        let waited_ns = self.runtime.attach(body);
        // Unless another thread has taken over the path and is in a call of its own.
        if watch.entries.load(Relaxed) == entry {
            watch.since_ns.store(0, Relaxed);
        }
        let mut waits = sync::lock(&self.waits);
        waits.entries += 1;
        waits.total_ns += waited_ns;
        waits.longest_ns = waits.longest_ns.max(waited_ns);
    }
}

impl Stages for Chain {
    fn has_stages(&self, direction: Direction) -> bool {
        // Callers ask this before `has_pending`: a stage that was removed in between has left something
        // there.
        self.has_stages[direction as usize].load(SeqCst)
    }

    fn has_pending(&self, direction: Direction) -> bool {
        let pending = |slot: &Arc<Slot>| slot.handle.state.has_pending(direction);
        self.slots().iter().any(pending) || self.removed().iter().any(pending)
    }

    fn holds_frames(&self) -> bool {
        self.slots().iter().any(|slot| slot.handle.state.holds_frames())
    }

    fn process_while(
        &self,
        direction: Direction,
        stage_batch: &mut StageBatch,
        mtu: usize,
        is_current: &dyn Fn() -> bool,
    ) {
        // In this order: a stage that is no longer in `slots` is in `removed`.
        let slots = self.slots();
        self.flush_removed(direction, stage_batch);
        let peers = self.shared.peers();
        let first = slots.iter().position(|slot| slot.has_work(direction, stage_batch, &peers));
        let Some(first) = first else { return };
        let runtime = &*self.runtime;
        let context = BatchContext { direction, mtu, peers: &peers, runtime, is_current };
        self.run_attached(direction as usize, &mut || {
            for slot in &slots[first..] {
                slot.run(stage_batch, &context);
            }
        });
        if slots.iter().any(|slot| slot.removed.load(Relaxed)) {
            self.update_directions();
        }
    }

    fn due_ns(&self) -> Option<u64> {
        let slots = self.slots();
        let active = slots.iter().filter(|slot| !slot.removed.load(Relaxed));
        let due_ns = active.map(|slot| slot.handle.due_ns.load(SeqCst)).min();
        due_ns.filter(|&due_ns| due_ns != u64::MAX)
    }

    fn tick(&self, now_ns: u64) {
        let slots = self.slots();
        let is_due = |slot: &&Arc<Slot>| slot.handle.due_ns.load(SeqCst) <= now_ns;
        if slots.iter().any(|slot| is_due(&slot)) {
            self.run_attached(TICKS, &mut || {
                for slot in slots.iter().filter(is_due) {
                    slot.tick(now_ns, &*self.runtime);
                }
            });
        }
    }

    fn set_host(&self, host: Arc<dyn StageHost>) {
        *sync::write(&self.shared.host) = Some(host);
    }

    fn set_peers(&self, peers: &[(PeerId, [u8; 32])]) {
        let keys = Arc::new(peers.iter().copied().collect());
        *sync::write(&self.shared.peers) = keys;
    }

    fn longest_call(&self, now_ns: u64) -> Option<RunningCall> {
        let calls = self.shared.calls.iter().filter_map(|watch| self.active_call(watch, now_ns));
        // A thread that waits may wait for the very stage that does not return: long calls come first.
        let (stage, for_ns) = calls.min_by_key(|&(stage, for_ns)| {
            (stage == 0 || for_ns < LONG_CALL_NS, Reverse(for_ns))
        })?;
        let slots = self.slots();
        let options = slots.iter().find(|slot| slot.id == stage).map(|slot| slot.options());
        // A wait for the GIL has no limit: other code of the process holds it, not a stage of this tunnel.
        Some(RunningCall {
            stage,
            name: match &options {
                Some(options) => options.name.clone(),
                None => "(waiting for the interpreter)".into(),
            },
            for_ns,
            limit_ns: options.as_ref().and_then(|options| options.stall_ns),
            outcome: options.map_or(Outcome::Close, |options| options.outcome),
        })
    }

    fn abandon(&self, stage: u64) {
        for slot in self.slots().iter().filter(|slot| slot.id == stage) {
            slot.remove("it did not return");
        }
        // Its call is no longer watched.
        for watch in self.shared.calls.iter().filter(|w| w.stage.load(Relaxed) == stage) {
            watch.since_ns.store(0, Relaxed);
        }
        self.update_directions();
    }
}

#[cfg(test)]
mod tests;
