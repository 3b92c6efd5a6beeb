//! slot: a stage in its place: what it is called with, and what becomes of its answer.
//!
//! In: batches of both paths, the time. Out: the batches behind it. Drops: what the stage drops; the
//! frames of a call that failed, unless the stage passes them. Order: one thread at a time is inside;
//! what it emitted goes before the batch that it is called with.

use std::sync::{
    Arc, Mutex, MutexGuard, RwLock,
    atomic::{
        AtomicBool, AtomicU32, AtomicU64,
        Ordering::{Relaxed, SeqCst},
    },
};

use super::{
    handle::StageHandle,
    handler::{Call, Failure, Runtime, StageHandler},
    options::SlotOptions,
    shared::{ChainShared, TICKS},
};
use crate::{
    stage_api::{Direction, Notice, Outcome, StageBatch},
    stages::{
        filter::{Filter, PeerNames},
        state::{Emission, StageCounts},
        verdicts::Verdicts,
    },
    sync,
    time::SECOND_NS,
};

/// A stage in its place.
pub struct Slot {
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) options: RwLock<Arc<SlotOptions>>,
    inner: Mutex<Inner>,
    pub(super) handle: Arc<StageHandle>,
    /// Taken out: it is not called any more.
    pub(super) out: AtomicBool,
    pub(super) failures_in_a_row: AtomicU32,
    pub(super) said_ns: AtomicU64,
    pub(super) unsaid: AtomicU64,
}

/// What all stages are called with for one batch.
pub(super) struct BatchContext<'c> {
    pub(super) direction: Direction,
    pub(super) mtu: usize,
    pub(super) peers: &'c Arc<PeerNames>,
    pub(super) clock: &'c dyn Runtime,
    /// False once another thread has the caller's place: its batch goes no further.
    pub(super) wanted: &'c dyn Fn() -> bool,
}

struct Inner {
    handler: Box<dyn StageHandler>,
    verdicts: Verdicts,
    selected: Vec<u32>,
    emitted: Vec<Emission>,
    call: u64,
}

impl Slot {
    pub(super) fn new(
        id: u64,
        options: SlotOptions,
        handler: Box<dyn StageHandler>,
        shared: Arc<ChainShared>,
    ) -> Self {
        let verdicts = Verdicts::new();
        let (selected, emitted) = (Vec::new(), Vec::new());
        Self {
            id,
            handle: Arc::new(StageHandle::new(&options, shared)),
            name: options.name.clone(),
            options: RwLock::new(Arc::new(options)),
            inner: Mutex::new(Inner { handler, verdicts, selected, emitted, call: 0 }),
            out: AtomicBool::new(false),
            failures_in_a_row: AtomicU32::new(0),
            said_ns: AtomicU64::new(0),
            unsaid: AtomicU64::new(0),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        sync::lock(&self.inner)
    }

    fn vacant(&self) -> Option<MutexGuard<'_, Inner>> {
        sync::try_lock(&self.inner)
    }

    /// The handler, once no other thread is inside; who is may need what we hold to come out.
    fn entered(&self, runtime: &dyn Runtime) -> MutexGuard<'_, Inner> {
        loop {
            if let Some(inner) = self.vacant() {
                return inner;
            }
            runtime.leave(&mut || drop(self.inner()));
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

    /// What its handler reaches from outside of its calls, too.
    pub fn handle(&self) -> &Arc<StageHandle> {
        &self.handle
    }

    pub(super) fn options(&self) -> Arc<SlotOptions> {
        Arc::clone(&sync::read(&self.options))
    }

    /// Whether it was taken out.
    pub fn is_out(&self) -> bool {
        self.out.load(SeqCst)
    }

    /// What it counted.
    pub fn counts(&self) -> StageCounts {
        self.handle.state.counts()
    }

    /// Puts another handler into the place of the one that is there, between two of its calls: `change`
    /// makes it, and where it fails, the old one stays. `None` where somebody is inside. What is held
    /// stays held; the name stays the slot's.
    pub fn replace<E>(
        &self,
        options: &SlotOptions,
        change: impl FnOnce() -> Result<Box<dyn StageHandler>, E>,
    ) -> Option<Result<(), E>> {
        let mut inner = self.vacant()?;
        let handler = match change() {
            Ok(handler) => handler,
            Err(error) => return Some(Err(error)),
        };
        inner.handler = handler;
        self.handle.state.set_rules(options.hold, options.reorders);
        let tick_ns = if options.tick_ns == 0 { u64::MAX } else { 1 };
        self.handle.due_ns.fetch_min(tick_ns, SeqCst);
        *sync::write(&self.options) = Arc::new(options.clone());
        self.failures_in_a_row.store(0, Relaxed);
        self.handle.shared.wake_for_tick();
        Some(Ok(()))
    }

    pub(super) fn has_work(
        &self,
        direction: Direction,
        stage_batch: &StageBatch,
        peers: &PeerNames,
    ) -> bool {
        let options = self.options();
        // First: what a stage emitted before it was taken out is pending then.
        let stands = self.stands_in(direction, &options);
        if self.handle.state.has_pending(direction) {
            return true;
        }
        stands
            && stage_batch.batch.frames.iter().any(|frame| match &options.filter {
                None => true,
                Some(words) => {
                    words.holds(frame, &stage_batch.buffer, &stage_batch.batch.slices, peers)
                }
            })
    }

    pub(super) fn stands_in(&self, direction: Direction, options: &SlotOptions) -> bool {
        !self.has_left() && options.directions[direction as usize]
    }

    /// Whether it was taken out; then a tick that is under way emits nothing any more.
    fn has_left(&self) -> bool {
        let out = self.is_out();
        if out {
            // Whoever took it out may not have come to that yet.
            self.handle.state.stop();
        }
        out
    }

    /// Takes a batch through this stage.
    pub(super) fn run(self: &Arc<Self>, stage_batch: &mut StageBatch, call: &BatchContext<'_>) {
        let &BatchContext { direction, mtu, peers, clock, wanted } = call;
        if !wanted() || !self.has_work(direction, stage_batch, peers) {
            return;
        }
        self.handle.mtu.store(mtu as u64, Relaxed);
        if self.has_left() {
            return self.pass_pending(direction, stage_batch);
        }
        let watch = &self.handle.shared.watches[direction as usize];
        watch.stage.store(self.id, Relaxed);
        let mut inner = self.entered(clock);
        // Who takes over waits here for us, so that frames come in order.
        if !wanted() {
            return;
        }
        // Behind the lock: they change with the handler.
        let options = self.options();
        inner.select(&options.filter, stage_batch, peers, self.stands_in(direction, &options));
        inner.call += 1;
        let Inner { handler, verdicts, selected, emitted, call } = &mut *inner;
        verdicts.begin(direction, mtu, &stage_batch.batch.frames, selected);
        let shown = (selected.len() as u64, verdicts.frames().map(|f| u64::from(f.segments)).sum());
        let (mut result, start_ns) = (Ok(()), clock.now_ns());
        // What was waited for until here is not its doing.
        watch.since_ns.store(start_ns, Relaxed);
        if shown.0 != 0 {
            self.handle.calling.store(direction as u8 + 1, SeqCst);
            let work = Call {
                stage_batch: std::mem::take(stage_batch),
                verdicts: std::mem::take(verdicts),
                call: *call,
                peers: Arc::clone(peers),
                handle: Arc::clone(&self.handle),
            };
            let back;
            (back, result) = handler.process(work);
            (*stage_batch, *verdicts) = (back.stage_batch, back.verdicts);
            self.handle.calling.store(0, SeqCst);
        }
        let now_ns = clock.now_ns();
        if result.is_err() {
            verdicts.fail(options.pass_on_error, &stage_batch.batch.frames, selected);
        }
        self.handle.state.take(direction, emitted, &mut stage_batch.adjustments);
        verdicts.finish(stage_batch, selected, emitted, *call);
        self.handle.state.answer(direction.other(), verdicts.answers());
        self.handle.state.passed(direction, *call, verdicts.passing());
        let spent_ns = now_ns.saturating_sub(start_ns);
        let failed = result.is_err();
        self.handle.state.called(shown, &verdicts.dropped, verdicts.created, spent_ns, failed);
        drop(inner);
        if self.handle.state.has_pending(direction.other()) {
            self.handle.wake(direction.other());
        }
        if shown.0 != 0 {
            self.judge(result, now_ns);
        }
    }

    /// What a stage emitted before it was taken out still goes its way.
    pub(super) fn pass_pending(&self, direction: Direction, stage_batch: &mut StageBatch) {
        let mut emitted = Vec::new();
        self.handle.state.take(direction, &mut emitted, &mut stage_batch.adjustments);
        let mut verdicts = Verdicts::new();
        verdicts.begin(direction, 0, &stage_batch.batch.frames, &[]);
        verdicts.finish(stage_batch, &[], &mut emitted, u64::MAX);
        self.handle.state.called((0, 0), &verdicts.dropped, verdicts.created, 0, false);
    }

    pub(super) fn tick(&self, now_ns: u64, clock: &dyn Runtime) {
        if self.is_out() {
            self.handle.due_ns.store(u64::MAX, SeqCst);
            return;
        }
        let next_ns = match self.options().tick_ns {
            0 => u64::MAX,
            tick_ns => now_ns.saturating_add(tick_ns),
        };
        // Before the call, which may ask for an earlier one.
        self.handle.due_ns.store(next_ns, SeqCst);
        let watch = &self.handle.shared.watches[TICKS];
        watch.stage.store(self.id, Relaxed);
        let mut inner = self.entered(clock);
        let start_ns = clock.now_ns();
        watch.since_ns.store(start_ns, Relaxed);
        let result = inner.handler.tick(now_ns);
        drop(inner);
        let spent_ns = clock.now_ns().saturating_sub(start_ns);
        self.handle.state.called((0, 0), &[], 0, spent_ns, result.is_err());
        self.judge(result, start_ns + spent_ns);
    }

    /// A call that failed is told once a second; too many in a row have the outcome that was chosen.
    pub(super) fn judge(&self, result: Result<(), Failure>, now_ns: u64) {
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
            self.notify("stage.raised", text(), unsaid);
        }
        if given_up {
            let text = format!("{in_a_row} calls in a row failed");
            match options.outcome {
                Outcome::Remove => self.take_out(&text),
                Outcome::Close => {
                    let reason = format!("stage {}: {text}", self.name);
                    self.handle.shared.with(|host| host.close(reason));
                }
            }
        }
    }

    /// It is not called any more, what it holds is dropped, and nothing that it emits from now on goes.
    pub(super) fn leave(&self) -> bool {
        let was_in = !self.out.swap(true, SeqCst);
        self.handle.state.stop();
        was_in
    }

    pub(super) fn take_out(&self, text: &str) {
        if self.leave() {
            self.notify("stage.removed", text.to_owned(), 1);
        }
    }

    pub(super) fn notify(&self, message: &'static str, text: String, times: u64) {
        self.handle.shared.notify(Notice { message, stage: self.name.clone(), text, times });
    }
}

impl Inner {
    fn select(
        &mut self,
        filter: &Option<Filter>,
        stage_batch: &StageBatch,
        peers: &PeerNames,
        stands: bool,
    ) {
        self.selected.clear();
        let rows = if stands { &stage_batch.batch.frames[..] } else { &[] };
        let chosen = rows.iter().enumerate().filter(|(_, frame)| match filter {
            None => true,
            Some(words) => {
                words.holds(frame, &stage_batch.buffer, &stage_batch.batch.slices, peers)
            }
        });
        self.selected.extend(chosen.map(|(index, _)| index as u32));
    }
}
