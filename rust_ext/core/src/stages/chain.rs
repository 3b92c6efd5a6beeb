//! chain: the stages of one tunnel, in the order in which they are called.
//!
//! In: batches of both paths; what stages emitted in between. Out: the batches behind the last
//! stage. Drops: what stages drop; the frames of a call that failed, unless the stage passes them.
//! Order: each stage is entered by one thread at a time and gets batches in order; what it emitted
//! goes before the batch it is called with. Time: `tick` where a stage asked for it.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock, TryLockError,
        atomic::{
            AtomicBool, AtomicU8, AtomicU32, AtomicU64,
            Ordering::{Relaxed, SeqCst},
        },
    },
};

use super::{
    Direction, Loan, Notice, Outcome, Running, Stages, Surroundings,
    edits::Edits,
    ledger::{Emission, EmitError, Held, HoldLimit, Ledger, StageCounts},
    repair::Unfit,
    selection::{PeerNames, Selection},
};
use crate::{peer::PeerId, time::SECOND_NS};

/// Notices kept while nobody surrounds the chain (tests, replays).
const NOTICES_MAX: usize = 256;

/// A stage's code, in whatever language.
pub trait Guest: Send {
    /// Looks at the rows of `work`, which is given back whatever happens.
    fn process(&mut self, work: Work) -> (Work, Result<(), Failure>);

    /// Gets the time, boot nanoseconds.
    ///
    /// # Errors
    /// Where the call failed.
    fn tick(&mut self, now_ns: u64) -> Result<(), Failure>;
}

/// How guests are entered, and the clock that measures them.
pub trait Entrance: Send + Sync {
    /// Runs `body` where guests can be called (attached to their interpreter), and returns how long
    /// that had to be waited for, nanoseconds.
    fn enter(&self, body: &mut dyn FnMut()) -> u64;

    /// Runs `body`, which may have to wait, where no guest is kept from going on by it.
    fn leave(&self, body: &mut dyn FnMut());

    /// Boot nanoseconds.
    fn now_ns(&self) -> u64;
}

/// What a guest is called with.
pub struct Work {
    /// The batch, with rows that were not selected as well.
    pub loan: Loan,
    /// The selected rows, and what is said of them.
    pub edits: Edits,
    /// The number of the call.
    pub call: u64,
    /// The peers' names.
    pub peers: Arc<PeerNames>,
    /// The stage's place.
    pub slot: Arc<Slot>,
}

/// Why a call failed; the text is made only where somebody reads it.
pub struct Failure(pub Box<dyn FnOnce() -> String + Send>);

/// How a stage is built in.
#[derive(Clone, Debug)]
pub struct SlotOptions {
    /// What it is called.
    pub name: String,
    /// Whether it stands in each path.
    pub directions: [bool; 2],
    /// Which frames it sees; `None`: all.
    pub selection: Option<Selection>,
    /// Whether it may send on a frame that a later one has passed.
    pub reorders: bool,
    /// Whether frames go on where its call failed.
    pub pass_on_error: bool,
    /// What it may hold.
    pub hold: HoldLimit,
    /// Time between ticks; 0: only those it asks for.
    pub tick_ns: u64,
    /// Calls in a row that fail before `outcome` follows.
    pub failures: u32,
    /// How long a call may last before `outcome` follows; `None`: for ever.
    pub stall_ns: Option<u64>,
    /// See above.
    pub outcome: Outcome,
}

/// A stage in its place.
pub struct Slot {
    id: u64,
    name: String,
    options: RwLock<Arc<SlotOptions>>,
    inner: Mutex<Inner>,
    ledger: Ledger,
    links: Arc<Links>,
    /// Taken out: it is not called any more.
    out: AtomicBool,
    /// The path whose batch it is being called with, plus 1; 0: none.
    calling: AtomicU8,
    failures_in_a_row: AtomicU32,
    due_ns: AtomicU64,
    /// The MTU it saw last.
    mtu: AtomicU64,
    said_ns: AtomicU64,
    unsaid: AtomicU64,
}

struct Inner {
    guest: Box<dyn Guest>,
    edits: Edits,
    selected: Vec<u32>,
    emitted: Vec<Emission>,
    call: u64,
}

/// What the slots of a chain share.
#[derive(Default)]
struct Links {
    surroundings: RwLock<Option<Arc<dyn Surroundings>>>,
    notices: Mutex<Vec<Notice>>,
    watches: [Watch; 3],
    peers: RwLock<Arc<PeerNames>>,
    ids: AtomicU64,
}

/// A call that is under way on one thread: since when, and in which stage (0: waiting to enter).
#[derive(Default)]
struct Watch {
    since_ns: AtomicU64,
    stage: AtomicU64,
    /// Counts the calls.
    entry: AtomicU64,
}

/// What all stages are called with for one batch.
struct Call<'c> {
    direction: Direction,
    mtu: usize,
    peers: &'c Arc<PeerNames>,
    clock: &'c dyn Entrance,
    wanted: &'c dyn Fn() -> bool,
}

const TICKS: usize = 2;

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
    entrance: Box<dyn Entrance>,
    slots: RwLock<Arc<[Arc<Slot>]>>,
    /// Stages that were left out and have something to book.
    leaving: Mutex<Vec<Arc<Slot>>>,
    links: Arc<Links>,
    wants: [AtomicBool; 2],
    waits: Mutex<WaitCounts>,
}

impl Chain {
    /// A chain without stages.
    pub fn new(entrance: Box<dyn Entrance>) -> Self {
        Self {
            entrance,
            slots: RwLock::new(Arc::new([])),
            leaving: Mutex::default(),
            links: Arc::default(),
            wants: Default::default(),
            waits: Mutex::default(),
        }
    }

    /// A place for a stage of this chain; it is called once it is among those of [`Self::set`].
    pub fn slot(&self, options: SlotOptions, guest: Box<dyn Guest>) -> Arc<Slot> {
        let id = self.links.ids.fetch_add(1, Relaxed) + 1;
        Arc::new(Slot::new(id, options, guest, Arc::clone(&self.links)))
    }

    /// Goes over to these stages, between batches. What those that are left out hold is dropped; who is
    /// inside one of them comes out behind it ([`Slot::is_busy`]).
    pub fn set(&self, slots: Vec<Arc<Slot>>) {
        let before = {
            let mut held = self.slots.write().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *held, slots.into())
        };
        self.look_who_wants();
        let now = self.slots();
        for slot in before.iter().filter(|slot| !now.iter().any(|other| Arc::ptr_eq(slot, other))) {
            slot.out.store(true, SeqCst);
            slot.ledger.stop();
            self.leaving().push(Arc::clone(slot));
            for direction in Direction::BOTH {
                self.links.with(|surroundings| surroundings.wake(direction));
            }
        }
        self.links.wake_for_tick();
    }

    fn leaving(&self) -> MutexGuard<'_, Vec<Arc<Slot>>> {
        self.leaving.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What stages that left have still to book or to send goes before the batch.
    fn settle_leaving(&self, direction: Direction, loan: &mut Loan) {
        let mut leaving = self.leaving();
        for slot in leaving.iter().filter(|slot| slot.ledger.has_pending(direction)) {
            slot.pass_pending(direction, loan);
        }
        leaving.retain(|slot| {
            slot.is_busy() || Direction::BOTH.iter().any(|&d| slot.ledger.has_pending(d))
        });
    }

    /// The stages.
    pub fn slots(&self) -> Arc<[Arc<Slot>]> {
        Arc::clone(&self.slots.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// How long paths had to wait for the interpreter.
    pub fn waits(&self) -> WaitCounts {
        *self.waits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the notices that nobody was there to hear.
    pub fn take_notices(&self) -> Vec<Notice> {
        std::mem::take(&mut *self.links.notices.lock().unwrap_or_else(PoisonError::into_inner))
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

    fn enter(&self, watch: usize, body: &mut dyn FnMut()) {
        let watch = &self.links.watches[watch];
        let entry = watch.entry.fetch_add(1, Relaxed) + 1;
        watch.stage.store(0, Relaxed);
        watch.since_ns.store(self.entrance.now_ns(), Relaxed);
        let waited_ns = self.entrance.enter(body);
        // Another thread may have taken our place, and be inside now.
        if watch.entry.load(Relaxed) == entry {
            watch.since_ns.store(0, Relaxed);
        }
        let mut waits = self.waits.lock().unwrap_or_else(PoisonError::into_inner);
        waits.entries += 1;
        waits.total_ns += waited_ns;
        waits.longest_ns = waits.longest_ns.max(waited_ns);
    }
}

impl Stages for Chain {
    fn wants(&self, direction: Direction) -> bool {
        self.wants[direction as usize].load(Relaxed)
    }

    fn has_pending(&self, direction: Direction) -> bool {
        let pending = |slot: &Arc<Slot>| slot.ledger.has_pending(direction);
        self.slots().iter().any(pending) || self.leaving().iter().any(pending)
    }

    fn holds(&self) -> bool {
        self.slots().iter().any(|slot| slot.ledger.holds())
    }

    fn process_while(
        &self,
        direction: Direction,
        loan: &mut Loan,
        mtu: usize,
        wanted: &dyn Fn() -> bool,
    ) {
        self.settle_leaving(direction, loan);
        let slots = self.slots();
        let peers = self.links.peers();
        let first = slots.iter().position(|slot| slot.has_work(direction, loan, &peers));
        let Some(first) = first else { return };
        let call = Call { direction, mtu, peers: &peers, clock: &*self.entrance, wanted };
        self.enter(direction as usize, &mut || {
            for slot in &slots[first..] {
                slot.run(loan, &call);
            }
        });
        if slots.iter().any(|slot| slot.out.load(Relaxed)) {
            self.look_who_wants();
        }
    }

    fn due_ns(&self) -> Option<u64> {
        let live = self.slots();
        let live = live.iter().filter(|slot| !slot.out.load(Relaxed));
        live.map(|slot| slot.due_ns.load(SeqCst)).min().filter(|&due_ns| due_ns != u64::MAX)
    }

    fn tick(&self, now_ns: u64) {
        let slots = self.slots();
        let is_due = |slot: &&Arc<Slot>| slot.due_ns.load(SeqCst) <= now_ns;
        if slots.iter().any(|slot| is_due(&slot)) {
            self.enter(TICKS, &mut || {
                for slot in slots.iter().filter(is_due) {
                    slot.tick(now_ns, &*self.entrance);
                }
            });
        }
    }

    fn connect(&self, surroundings: Arc<dyn Surroundings>) {
        let mut held = self.links.surroundings.write().unwrap_or_else(PoisonError::into_inner);
        *held = Some(surroundings);
    }

    fn set_peers(&self, peers: &[(PeerId, [u8; 32])]) {
        let names: PeerNames = peers.iter().copied().collect::<HashMap<_, _>>();
        *self.links.peers.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(names);
    }

    fn running(&self, now_ns: u64) -> Option<Running> {
        let watches = self.links.watches.iter();
        let (since_ns, stage) = watches
            .map(|watch| (watch.since_ns.load(Relaxed), watch.stage.load(Relaxed)))
            .filter(|(since_ns, _)| *since_ns != 0)
            .min()?;
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
            for_ns: now_ns.saturating_sub(since_ns),
            limit_ns: options.as_ref().and_then(|options| options.stall_ns),
            outcome: options.map_or(Outcome::Close, |options| options.outcome),
        })
    }

    fn abandon(&self, stage: u64) {
        for slot in self.slots().iter().filter(|slot| slot.id == stage) {
            slot.take_out("it did not return");
        }
        // Who comes back from it is not waited for.
        for watch in self.links.watches.iter().filter(|w| w.stage.load(Relaxed) == stage) {
            watch.since_ns.store(0, Relaxed);
        }
        self.look_who_wants();
    }
}

impl Slot {
    fn new(id: u64, options: SlotOptions, guest: Box<dyn Guest>, links: Arc<Links>) -> Self {
        let edits = Edits::new();
        let (selected, emitted) = (Vec::new(), Vec::new());
        let due_ns = if options.tick_ns == 0 { u64::MAX } else { 0 };
        Self {
            id,
            ledger: Ledger::new(options.hold, options.reorders),
            name: options.name.clone(),
            options: RwLock::new(Arc::new(options)),
            inner: Mutex::new(Inner { guest, edits, selected, emitted, call: 0 }),
            links,
            out: AtomicBool::new(false),
            calling: AtomicU8::new(0),
            failures_in_a_row: AtomicU32::new(0),
            due_ns: AtomicU64::new(due_ns),
            mtu: AtomicU64::new(1420),
            said_ns: AtomicU64::new(0),
            unsaid: AtomicU64::new(0),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn vacant(&self) -> Option<MutexGuard<'_, Inner>> {
        match self.inner.try_lock() {
            Ok(inner) => Some(inner),
            Err(TryLockError::Poisoned(inner)) => Some(inner.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// The guest, once no other thread is inside; who is may need what we hold to come out.
    fn entered(&self, entrance: &dyn Entrance) -> MutexGuard<'_, Inner> {
        loop {
            if let Some(inner) = self.vacant() {
                return inner;
            }
            entrance.leave(&mut || drop(self.inner()));
        }
    }

    /// Whether somebody is inside.
    pub fn is_busy(&self) -> bool {
        self.vacant().is_none()
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn options(&self) -> Arc<SlotOptions> {
        Arc::clone(&self.options.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether it was taken out.
    pub fn is_out(&self) -> bool {
        self.out.load(SeqCst)
    }

    /// What it counted.
    pub fn counts(&self) -> StageCounts {
        self.ledger.counts()
    }

    /// Where the guest's verdicts, holdings and counters are kept.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Puts another guest into the place of the one that is there, between two of its calls: `change`
    /// makes it, and where it fails, the old one stays. `None` where somebody is inside. What is held
    /// stays held; the name stays the slot's.
    pub fn replace<E>(
        &self,
        options: &SlotOptions,
        change: impl FnOnce() -> Result<Box<dyn Guest>, E>,
    ) -> Option<Result<(), E>> {
        let mut inner = self.vacant()?;
        let guest = match change() {
            Ok(guest) => guest,
            Err(error) => return Some(Err(error)),
        };
        inner.guest = guest;
        self.ledger.set_rules(options.hold, options.reorders);
        let tick_ns = if options.tick_ns == 0 { u64::MAX } else { 1 };
        self.due_ns.fetch_min(tick_ns, SeqCst);
        *self.options.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(options.clone());
        self.failures_in_a_row.store(0, Relaxed);
        self.links.wake_for_tick();
        Some(Ok(()))
    }

    /// Sends a held frame on; see [`Ledger::emit`].
    ///
    /// # Errors
    /// See [`EmitError`].
    pub fn emit(&self, held: &mut Option<Held>, direction: Direction) -> Result<(), EmitError> {
        let from = held.as_ref().map(|held| held.direction);
        self.ledger.emit(held, direction)?;
        self.wake(direction);
        if let Some(from) = from.filter(|&from| from != direction) {
            self.wake(from);
        }
        Ok(())
    }

    /// Sends a packet of the stage's own; see [`Ledger::make`].
    ///
    /// # Errors
    /// Where it is no packet.
    pub fn make(&self, bytes: Vec<u8>, direction: Direction) -> Result<(), Unfit> {
        self.ledger.make(bytes, direction, self.mtu.load(Relaxed) as usize)?;
        self.wake(direction);
        Ok(())
    }

    /// A held frame is gone.
    pub fn forget(&self, held: &Held) {
        self.ledger.forget(held);
        self.wake(held.direction);
    }

    /// Asks for a tick.
    pub fn wake_at(&self, when_ns: u64) {
        if self.due_ns.fetch_min(when_ns.max(1), SeqCst) > when_ns {
            self.links.wake_for_tick();
        }
    }

    /// Whoever is called with a batch of that path takes what waits before it returns.
    fn wake(&self, direction: Direction) {
        if self.calling.load(SeqCst) != direction as u8 + 1 {
            self.links.with(|surroundings| surroundings.wake(direction));
        }
    }

    fn has_work(&self, direction: Direction, loan: &Loan, peers: &PeerNames) -> bool {
        if self.ledger.has_pending(direction) {
            return true;
        }
        let options = self.options();
        self.stands_in(direction, &options)
            && loan.batch.frames.iter().any(|frame| match &options.selection {
                None => true,
                Some(words) => words.holds(frame, &loan.buffer, &loan.batch.slices, peers),
            })
    }

    fn stands_in(&self, direction: Direction, options: &SlotOptions) -> bool {
        options.directions[direction as usize] && !self.out.load(SeqCst)
    }

    /// Takes a batch through this stage.
    fn run(self: &Arc<Self>, loan: &mut Loan, call: &Call<'_>) {
        let &Call { direction, mtu, peers, clock, wanted } = call;
        if !wanted() || !self.has_work(direction, loan, peers) {
            return;
        }
        self.mtu.store(mtu as u64, Relaxed);
        if self.is_out() {
            return self.pass_pending(direction, loan);
        }
        let watch = &self.links.watches[direction as usize];
        watch.stage.store(self.id, Relaxed);
        let mut inner = self.entered(clock);
        // Who takes over waits here for us, so that frames come in order.
        if !wanted() {
            return;
        }
        // Behind the lock: they change with the guest.
        let options = self.options();
        inner.select(&options.selection, loan, peers, self.stands_in(direction, &options));
        inner.call += 1;
        let Inner { guest, edits, selected, emitted, call } = &mut *inner;
        edits.begin(direction, mtu, &loan.batch.frames, selected);
        let shown = (selected.len() as u64, edits.frames().map(|f| u64::from(f.segments)).sum());
        let (mut result, start_ns) = (Ok(()), clock.now_ns());
        // What was waited for until here is not its doing.
        watch.since_ns.store(start_ns, Relaxed);
        if shown.0 != 0 {
            self.calling.store(direction as u8 + 1, SeqCst);
            let work = Work {
                loan: std::mem::take(loan),
                edits: std::mem::take(edits),
                call: *call,
                peers: Arc::clone(peers),
                slot: Arc::clone(self),
            };
            let back;
            (back, result) = guest.process(work);
            (*loan, *edits) = (back.loan, back.edits);
            self.calling.store(0, SeqCst);
        }
        let now_ns = clock.now_ns();
        if result.is_err() {
            edits.fail(options.pass_on_error, &loan.batch.frames, selected);
        }
        self.ledger.take(direction, emitted, &mut loan.bookings);
        edits.finish(loan, selected, emitted, *call);
        self.ledger.answer(direction.other(), edits.answers());
        self.ledger.passed(direction, *call, edits.passing());
        let spent_ns = now_ns.saturating_sub(start_ns);
        let failed = result.is_err();
        self.ledger.called(shown, &edits.dropped, edits.created, spent_ns, failed);
        drop(inner);
        if self.ledger.has_pending(direction.other()) {
            self.wake(direction.other());
        }
        if shown.0 != 0 {
            self.judge(result, now_ns);
        }
    }

    /// What a stage emitted before it was taken out still goes its way.
    fn pass_pending(&self, direction: Direction, loan: &mut Loan) {
        let mut emitted = Vec::new();
        self.ledger.take(direction, &mut emitted, &mut loan.bookings);
        let mut edits = Edits::new();
        edits.begin(direction, 0, &loan.batch.frames, &[]);
        edits.finish(loan, &[], &mut emitted, u64::MAX);
        self.ledger.called((0, 0), &edits.dropped, edits.created, 0, false);
    }

    fn tick(&self, now_ns: u64, clock: &dyn Entrance) {
        if self.is_out() {
            self.due_ns.store(u64::MAX, SeqCst);
            return;
        }
        let next_ns = match self.options().tick_ns {
            0 => u64::MAX,
            tick_ns => now_ns.saturating_add(tick_ns),
        };
        // Before the call, which may ask for an earlier one.
        self.due_ns.store(next_ns, SeqCst);
        let watch = &self.links.watches[TICKS];
        watch.stage.store(self.id, Relaxed);
        let mut inner = self.entered(clock);
        let start_ns = clock.now_ns();
        watch.since_ns.store(start_ns, Relaxed);
        let result = inner.guest.tick(now_ns);
        drop(inner);
        let spent_ns = clock.now_ns().saturating_sub(start_ns);
        self.ledger.called((0, 0), &[], 0, spent_ns, result.is_err());
        self.judge(result, start_ns + spent_ns);
    }

    /// A call that failed is told once a second; too many in a row have the outcome that was chosen.
    fn judge(&self, result: Result<(), Failure>, now_ns: u64) {
        let Err(Failure(text)) = result else {
            return self.failures_in_a_row.store(0, Relaxed);
        };
        let in_a_row = self.failures_in_a_row.fetch_add(1, Relaxed) + 1;
        let last_ns = self.said_ns.load(Relaxed);
        let unsaid = self.unsaid.fetch_add(1, Relaxed) + 1;
        let options = self.options();
        let given_up = in_a_row == options.failures;
        if last_ns == 0 || now_ns >= last_ns + SECOND_NS || given_up {
            self.said_ns.store(now_ns.max(1), Relaxed);
            self.unsaid.store(0, Relaxed);
            self.say("stage.raised", text(), unsaid);
        }
        if given_up {
            let text = format!("{in_a_row} calls in a row failed");
            match options.outcome {
                Outcome::Remove => self.take_out(&text),
                Outcome::Close => {
                    let reason = format!("stage {}: {text}", self.name);
                    self.links.with(|surroundings| surroundings.close(reason));
                }
            }
        }
    }

    fn take_out(&self, text: &str) {
        if !self.out.swap(true, SeqCst) {
            self.ledger.stop();
            self.say("stage.removed", text.to_owned(), 1);
        }
    }

    fn say(&self, message: &'static str, text: String, times: u64) {
        self.links.say(Notice { message, stage: self.name.clone(), text, times });
    }
}

impl Inner {
    fn select(
        &mut self,
        selection: &Option<Selection>,
        loan: &Loan,
        peers: &PeerNames,
        stands: bool,
    ) {
        self.selected.clear();
        let rows = if stands { &loan.batch.frames[..] } else { &[] };
        let chosen = rows.iter().enumerate().filter(|(_, frame)| match selection {
            None => true,
            Some(words) => words.holds(frame, &loan.buffer, &loan.batch.slices, peers),
        });
        self.selected.extend(chosen.map(|(index, _)| index as u32));
    }
}

impl Links {
    fn with(&self, say: impl FnOnce(&dyn Surroundings)) {
        let held = self.surroundings.read().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(surroundings) = held {
            say(&*surroundings);
        }
    }

    fn wake_for_tick(&self) {
        self.with(|surroundings| surroundings.wake_for_tick());
    }

    fn peers(&self) -> Arc<PeerNames> {
        Arc::clone(&self.peers.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn say(&self, notice: Notice) {
        let held = self.surroundings.read().unwrap_or_else(PoisonError::into_inner).clone();
        match held {
            Some(surroundings) => surroundings.say(notice),
            None => {
                let mut notices = self.notices.lock().unwrap_or_else(PoisonError::into_inner);
                if notices.len() < NOTICES_MAX {
                    notices.push(notice);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
