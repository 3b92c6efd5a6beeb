//! chain: the stages of one tunnel, in the order in which they are called.
//!
//! In: batches of both paths; what stages emitted in between. Out: the batches behind the last
//! stage. Drops: see `slot`. Order: each stage is entered by one thread at a time and gets batches in
//! order. Time: `tick` where a stage asked for it.

mod handle;
mod handler;
mod options;
mod shared;
mod slot;

use std::{
    cmp::Reverse,
    collections::HashMap,
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
    shared::{ChainShared, TICKS, Watch},
    slot::BatchContext,
};
use super::filter::PeerNames;
use crate::wireguard::peer::PeerId;
use crate::{
    stage_api::{Direction, Notice, Outcome, Running, StageBatch, StageHost, Stages},
    sync,
};

/// A call that lasts so long is looked at more closely.
const LONG_NS: u64 = 100_000_000;

/// How long paths had to wait for the interpreter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WaitCounts {
    /// How often they entered.
    pub entries: u64,
    /// All waits together, nanoseconds.
    pub total_ns: u64,
    /// The longest.
    pub longest_ns: u64,
}

/// See the module.
pub struct Chain {
    runtime: Box<dyn Runtime>,
    slots: RwLock<Arc<[Arc<Slot>]>>,
    /// Stages that were left out and have something to book.
    leaving: Mutex<Vec<Arc<Slot>>>,
    shared: Arc<ChainShared>,
    wants: [AtomicBool; 2],
    waits: Mutex<WaitCounts>,
}

impl Chain {
    /// A chain without stages.
    pub fn new(runtime: Box<dyn Runtime>) -> Self {
        Self {
            runtime,
            slots: RwLock::new(Arc::new([])),
            leaving: Mutex::default(),
            shared: Arc::default(),
            wants: Default::default(),
            waits: Mutex::default(),
        }
    }

    /// A place for a stage of this chain; it is called once it is among those of [`Self::set`].
    pub fn slot(&self, options: SlotOptions, handler: Box<dyn StageHandler>) -> Arc<Slot> {
        let id = self.shared.ids.fetch_add(1, Relaxed) + 1;
        Arc::new(Slot::new(id, options, handler, Arc::clone(&self.shared)))
    }

    /// Goes over to these stages, between batches. What those that are left out hold is dropped; who is
    /// inside one of them comes out behind it ([`Slot::is_busy`]). One thread at a time calls this.
    pub fn set(&self, slots: Vec<Arc<Slot>>) {
        let before = self.slots();
        let left = before.iter().filter(|slot| !slots.iter().any(|one| Arc::ptr_eq(slot, one)));
        // Before anyone sees the others: what they emit is older than any batch that goes without them.
        for slot in left {
            slot.leave();
            self.leaving().push(Arc::clone(slot));
        }
        *sync::write(&self.slots) = slots.into();
        self.look_who_wants();
        for direction in Direction::BOTH {
            self.shared.with(|host| host.wake(direction));
        }
        self.shared.wake_for_tick();
    }

    fn leaving(&self) -> MutexGuard<'_, Vec<Arc<Slot>>> {
        sync::lock(&self.leaving)
    }

    /// What stages that left have still to book or to send goes before the batch.
    fn settle_leaving(&self, direction: Direction, stage_batch: &mut StageBatch) {
        let mut leaving = self.leaving();
        for slot in leaving.iter().filter(|slot| slot.handle.state.has_pending(direction)) {
            slot.pass_pending(direction, stage_batch);
        }
        leaving.retain(|slot| {
            slot.is_busy() || Direction::BOTH.iter().any(|&d| slot.handle.state.has_pending(d))
        });
    }

    /// The stages.
    pub fn slots(&self) -> Arc<[Arc<Slot>]> {
        Arc::clone(&sync::read(&self.slots))
    }

    /// How long paths had to wait for the interpreter.
    pub fn waits(&self) -> WaitCounts {
        *sync::lock(&self.waits)
    }

    /// Takes the notices that nobody was there to hear.
    pub fn take_notices(&self) -> Vec<Notice> {
        std::mem::take(&mut *sync::lock(&self.shared.notices))
    }

    /// Works out anew which directions have to be lent; after a slot's options changed.
    pub fn look_who_wants(&self) {
        let slots = self.slots();
        for direction in Direction::BOTH {
            let stands = |slot: &&Arc<Slot>| slot.options().directions[direction as usize];
            let wants = slots.iter().filter(stands).any(|slot| !slot.out.load(SeqCst));
            self.wants[direction as usize].store(wants, SeqCst);
        }
    }

    /// In which stage a call is (0: it waits for the interpreter), and for how long.
    fn under_way(&self, watch: &Watch, now_ns: u64) -> Option<(u64, u64)> {
        let (since_ns, stage) = (watch.since_ns.load(Relaxed), watch.stage.load(Relaxed));
        let lasts_ns = Some(now_ns.saturating_sub(since_ns)).filter(|_| since_ns != 0)?;
        let is_kept_out = stage != 0 && lasts_ns >= LONG_NS && {
            self.runtime.is_kept_out(watch.thread.load(Relaxed), now_ns)
        };
        if is_kept_out {
            watch.kept_out_ns.store(now_ns, Relaxed);
            return Some((0, lasts_ns));
        }
        let began_ns = since_ns.max(watch.kept_out_ns.load(Relaxed));
        Some((stage, now_ns.saturating_sub(began_ns)))
    }

    fn enter(&self, watch: usize, body: &mut dyn FnMut()) {
        let watch = &self.shared.watches[watch];
        let entry = watch.entry.fetch_add(1, Relaxed) + 1;
        watch.stage.store(0, Relaxed);
        watch.thread.store(self.runtime.thread(), Relaxed);
        watch.since_ns.store(self.runtime.now_ns(), Relaxed);
        let waited_ns = self.runtime.enter(body);
        // Another thread may have taken our place, and be inside now.
        if watch.entry.load(Relaxed) == entry {
            watch.since_ns.store(0, Relaxed);
        }
        let mut waits = sync::lock(&self.waits);
        waits.entries += 1;
        waits.total_ns += waited_ns;
        waits.longest_ns = waits.longest_ns.max(waited_ns);
    }
}

impl Stages for Chain {
    fn wants(&self, direction: Direction) -> bool {
        // Before what is pending is looked for: who no longer wants has left something there.
        self.wants[direction as usize].load(SeqCst)
    }

    fn has_pending(&self, direction: Direction) -> bool {
        let pending = |slot: &Arc<Slot>| slot.handle.state.has_pending(direction);
        self.slots().iter().any(pending) || self.leaving().iter().any(pending)
    }

    fn holds(&self) -> bool {
        self.slots().iter().any(|slot| slot.handle.state.holds())
    }

    fn process_while(
        &self,
        direction: Direction,
        stage_batch: &mut StageBatch,
        mtu: usize,
        wanted: &dyn Fn() -> bool,
    ) {
        // In this order: what stages emitted that are no more among these is found there.
        let slots = self.slots();
        self.settle_leaving(direction, stage_batch);
        let peers = self.shared.peers();
        let first = slots.iter().position(|slot| slot.has_work(direction, stage_batch, &peers));
        let Some(first) = first else { return };
        let call = BatchContext { direction, mtu, peers: &peers, clock: &*self.runtime, wanted };
        self.enter(direction as usize, &mut || {
            for slot in &slots[first..] {
                slot.run(stage_batch, &call);
            }
        });
        if slots.iter().any(|slot| slot.out.load(Relaxed)) {
            self.look_who_wants();
        }
    }

    fn due_ns(&self) -> Option<u64> {
        let live = self.slots();
        let live = live.iter().filter(|slot| !slot.out.load(Relaxed));
        live.map(|slot| slot.handle.due_ns.load(SeqCst)).min().filter(|&due_ns| due_ns != u64::MAX)
    }

    fn tick(&self, now_ns: u64) {
        let slots = self.slots();
        let is_due = |slot: &&Arc<Slot>| slot.handle.due_ns.load(SeqCst) <= now_ns;
        if slots.iter().any(|slot| is_due(&slot)) {
            self.enter(TICKS, &mut || {
                for slot in slots.iter().filter(is_due) {
                    slot.tick(now_ns, &*self.runtime);
                }
            });
        }
    }

    fn connect(&self, host: Arc<dyn StageHost>) {
        let mut held = sync::write(&self.shared.host);
        *held = Some(host);
    }

    fn set_peers(&self, peers: &[(PeerId, [u8; 32])]) {
        let names: PeerNames = peers.iter().copied().collect::<HashMap<_, _>>();
        *sync::write(&self.shared.peers) = Arc::new(names);
    }

    fn running(&self, now_ns: u64) -> Option<Running> {
        let calls = self.shared.watches.iter().filter_map(|watch| self.under_way(watch, now_ns));
        // Whoever waits may wait for the stage that does not return, and is not to hide it.
        let (stage, for_ns) = calls
            .min_by_key(|&(stage, for_ns)| (stage == 0 || for_ns < LONG_NS, Reverse(for_ns)))?;
        let slots = self.slots();
        let options = slots.iter().find(|slot| slot.id == stage).map(|slot| slot.options());
        // Who waits for the interpreter is held up by somebody else's code, and no stage of ours is to
        // blame: that is waited for.
        Some(Running {
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
            slot.take_out("it did not return");
        }
        // Who comes back from it is not waited for.
        for watch in self.shared.watches.iter().filter(|w| w.stage.load(Relaxed) == stage) {
            watch.since_ns.store(0, Relaxed);
        }
        self.look_who_wants();
    }
}

#[cfg(test)]
mod tests;
