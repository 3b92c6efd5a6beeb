//! slot: one stage's place in the chain: calls its handler and applies its verdicts.
//!
//! In: batches of both paths, the time. Out: the batch behind the stage. Drops: what the stage drops; the
//! frames of a failed call, unless the stage passes them. Order: one thread at a time is inside; emitted
//! frames go before the batch that the stage is called with.

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
        filter::{Filter, PeerKeys},
        state::{CallCounts, Emission, StageCounts},
        verdicts::Verdicts,
    },
    sync,
    time::SECOND_NS,
};

/// One stage's place in the chain.
pub struct Slot {
    pub(super) id: u64,
    name: String,
    options: RwLock<Arc<SlotOptions>>,
    inner: Mutex<Inner>,
    pub(super) handle: Arc<StageHandle>,
    /// Whether the stage was removed; then it is not called any more.
    pub(super) removed: AtomicBool,
    failures_in_a_row: AtomicU32,
    /// When a failure was last reported; 0: never.
    reported_ns: AtomicU64,
    /// Failures since then.
    unreported: AtomicU64,
}

/// What every stage is called with for one batch.
pub(super) struct BatchContext<'c> {
    pub(super) direction: Direction,
    pub(super) mtu: usize,
    pub(super) peers: &'c Arc<PeerKeys>,
    pub(super) runtime: &'c dyn Runtime,
    /// False once another thread has taken over the path: the batch goes no further.
    pub(super) is_current: &'c dyn Fn() -> bool,
}

struct Inner {
    handler: Box<dyn StageHandler>,
    verdicts: Verdicts,
    /// Indices of the frames that the stage sees.
    selected: Vec<u32>,
    emitted: Vec<Emission>,
    calls: u64,
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
            inner: Mutex::new(Inner { handler, verdicts, selected, emitted, calls: 0 }),
            removed: AtomicBool::new(false),
            failures_in_a_row: AtomicU32::new(0),
            reported_ns: AtomicU64::new(0),
            unreported: AtomicU64::new(0),
        }
    }

    fn try_enter(&self) -> Option<MutexGuard<'_, Inner>> {
        sync::try_lock(&self.inner)
    }

    /// Waits until no other thread is inside. Waits detached: the thread inside may need the GIL to come out.
    fn enter(&self, runtime: &dyn Runtime) -> MutexGuard<'_, Inner> {
        loop {
            if let Some(inner) = self.try_enter() {
                return inner;
            }
            runtime.detach(&mut || {
                drop(sync::lock(&self.inner));
            });
        }
    }

    /// Whether a thread is inside.
    pub fn is_busy(&self) -> bool {
        self.try_enter().is_none()
    }

    /// Returns the stage's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns what the stage's code calls back.
    pub fn handle(&self) -> &Arc<StageHandle> {
        &self.handle
    }

    pub(super) fn options(&self) -> Arc<SlotOptions> {
        Arc::clone(&sync::read(&self.options))
    }

    /// Whether the stage was removed.
    pub fn is_removed(&self) -> bool {
        self.removed.load(SeqCst)
    }

    /// Returns the stage's counters.
    pub fn counts(&self) -> StageCounts {
        self.handle.state.counts()
    }

    /// Replaces the handler between two calls by the one that `make` returns; if that fails, the old one
    /// stays. Returns `None` if a thread is inside. Held frames stay held, and the slot keeps its name.
    pub fn replace<E>(
        &self,
        options: &SlotOptions,
        make: impl FnOnce() -> Result<Box<dyn StageHandler>, E>,
    ) -> Option<Result<(), E>> {
        let mut inner = self.try_enter()?;
        let handler = match make() {
            Ok(handler) => handler,
            Err(error) => return Some(Err(error)),
        };
        inner.handler = handler;
        self.handle.state.set_limits(options.hold, options.reorders);
        let tick_ns = if options.tick_ns == 0 { u64::MAX } else { 1 };
        self.handle.due_ns.fetch_min(tick_ns, SeqCst);
        *sync::write(&self.options) = Arc::new(options.clone());
        self.failures_in_a_row.store(0, Relaxed);
        self.handle.shared.wake_for_tick();
        Some(Ok(()))
    }

    /// Whether the stage has to be entered for this batch.
    pub(super) fn has_work(
        &self,
        direction: Direction,
        stage_batch: &StageBatch,
        peers: &PeerKeys,
    ) -> bool {
        let options = self.options();
        // First, so that what a removed stage emitted before is pending below.
        let serves = self.serves(direction, &options);
        self.handle.state.has_pending(direction)
            || serves && matching(&options.filter, stage_batch, peers).next().is_some()
    }

    fn serves(&self, direction: Direction, options: &SlotOptions) -> bool {
        !self.stop_if_removed() && options.directions[direction as usize]
    }

    /// Returns whether the stage was removed. If so, it emits nothing from here on, not even from a tick that
    /// is running: the thread that removed it may not have stopped its state yet.
    fn stop_if_removed(&self) -> bool {
        let removed = self.is_removed();
        if removed {
            self.handle.state.stop();
        }
        removed
    }

    /// Runs a batch through the stage.
    pub(super) fn run(&self, stage_batch: &mut StageBatch, context: &BatchContext<'_>) {
        let &BatchContext { direction, mtu, peers, runtime, is_current } = context;
        if !is_current() || !self.has_work(direction, stage_batch, peers) {
            return;
        }
        self.handle.mtu.store(mtu as u64, Relaxed);
        if self.stop_if_removed() {
            return self.flush_pending(direction, stage_batch);
        }
        let watch = &self.handle.shared.calls[direction as usize];
        watch.stage.store(self.id, Relaxed);
        let mut inner = self.enter(runtime);
        // A thread that takes over the path waits above for this one, so that frames stay in order.
        if !is_current() {
            return;
        }
        // Under the lock: options change together with the handler.
        let options = self.options();
        let Inner { handler, verdicts, selected, emitted, calls } = &mut *inner;
        selected.clear();
        if self.serves(direction, &options) {
            selected.extend(matching(&options.filter, stage_batch, peers));
        }
        *calls += 1;
        let number = *calls;
        verdicts.begin(direction, mtu, &stage_batch.batch.frames, selected);
        let frames = selected.len() as u64;
        let segments = verdicts.frames().map(|frame| u64::from(frame.segments)).sum();
        let (mut result, start_ns) = (Ok(()), runtime.now_ns());
        // The wait to enter does not count against the stage.
        watch.since_ns.store(start_ns, Relaxed);
        if frames != 0 {
            self.handle.in_call.store(direction as u8 + 1, SeqCst);
            let call = Call {
                stage_batch: std::mem::take(stage_batch),
                verdicts: std::mem::take(verdicts),
                number,
                peers: Arc::clone(peers),
                handle: Arc::clone(&self.handle),
            };
            let returned;
            (returned, result) = handler.process(call);
            (*stage_batch, *verdicts) = (returned.stage_batch, returned.verdicts);
            self.handle.in_call.store(0, SeqCst);
        }
        let now_ns = runtime.now_ns();
        if result.is_err() {
            verdicts.reset(options.pass_on_error, &stage_batch.batch.frames, selected);
        }
        self.handle.state.take_pending(direction, emitted, &mut stage_batch.adjustments);
        verdicts.apply(stage_batch, selected, emitted, number);
        self.handle.state.push_answers(direction.other(), verdicts.answers());
        self.handle.state.record_passed(direction, number, verdicts.passed());
        let time_ns = now_ns.saturating_sub(start_ns);
        let (created, failed) = (verdicts.created, result.is_err());
        let counts = CallCounts { frames, segments, created, time_ns, failed };
        self.handle.state.record_call(counts, &verdicts.dropped);
        drop(inner);
        if self.handle.state.has_pending(direction.other()) {
            self.handle.wake(direction.other());
        }
        if frames != 0 {
            self.record_result(result, now_ns);
        }
    }

    /// Puts what the stage emitted before it was removed in front of the batch.
    pub(super) fn flush_pending(&self, direction: Direction, stage_batch: &mut StageBatch) {
        let mut emitted = Vec::new();
        self.handle.state.take_pending(direction, &mut emitted, &mut stage_batch.adjustments);
        let mut verdicts = Verdicts::new();
        verdicts.begin(direction, 0, &stage_batch.batch.frames, &[]);
        verdicts.apply(stage_batch, &[], &mut emitted, u64::MAX);
        let counts = CallCounts { created: verdicts.created, ..CallCounts::default() };
        self.handle.state.record_call(counts, &verdicts.dropped);
    }

    /// Calls the stage's `tick`.
    pub(super) fn tick(&self, now_ns: u64, runtime: &dyn Runtime) {
        if self.is_removed() {
            self.handle.due_ns.store(u64::MAX, SeqCst);
            return;
        }
        let next_ns = match self.options().tick_ns {
            0 => u64::MAX,
            tick_ns => now_ns.saturating_add(tick_ns),
        };
        // Before the call, which may ask for an earlier one.
        self.handle.due_ns.store(next_ns, SeqCst);
        let watch = &self.handle.shared.calls[TICKS];
        watch.stage.store(self.id, Relaxed);
        let mut inner = self.enter(runtime);
        let start_ns = runtime.now_ns();
        watch.since_ns.store(start_ns, Relaxed);
        let result = inner.handler.tick(now_ns);
        drop(inner);
        let time_ns = runtime.now_ns().saturating_sub(start_ns);
        let counts = CallCounts { time_ns, failed: result.is_err(), ..CallCounts::default() };
        self.handle.state.record_call(counts, &[]);
        self.record_result(result, start_ns + time_ns);
    }

    /// Reports failures at most once per second, and applies the outcome after too many in a row.
    fn record_result(&self, result: Result<(), Failure>, now_ns: u64) {
        let Err(Failure(text)) = result else {
            return self.failures_in_a_row.store(0, Relaxed);
        };
        let in_a_row = self.failures_in_a_row.fetch_add(1, Relaxed) + 1;
        let reported_ns = self.reported_ns.load(Relaxed);
        let unreported = self.unreported.fetch_add(1, Relaxed) + 1;
        let options = self.options();
        let is_last = in_a_row == options.failures;
        if reported_ns == 0 || now_ns >= reported_ns + SECOND_NS || is_last {
            self.reported_ns.store(now_ns.max(1), Relaxed);
            self.unreported.store(0, Relaxed);
            self.notify("stage.raised", text(), unreported);
        }
        if is_last {
            let text = format!("{in_a_row} calls in a row failed");
            match options.outcome {
                Outcome::Remove => self.remove(&text),
                Outcome::Close => {
                    let reason = format!("stage {}: {text}", self.name);
                    self.handle.shared.with_host(|host| host.close(reason));
                }
            }
        }
    }

    /// Ends all calls of the stage and drops what it holds; what it emits from here on is refused. Returns
    /// false if it was removed before.
    pub(super) fn mark_removed(&self) -> bool {
        let was_active = !self.removed.swap(true, SeqCst);
        self.handle.state.stop();
        was_active
    }

    /// Removes the stage and reports it.
    pub(super) fn remove(&self, reason: &str) {
        if self.mark_removed() {
            self.notify("stage.removed", reason.to_owned(), 1);
        }
    }

    fn notify(&self, message: &'static str, text: String, times: u64) {
        self.handle.shared.notify(Notice { message, stage: self.name.clone(), text, times });
    }
}

/// Returns the indices of the frames that a filter selects; without one, all.
fn matching<'b>(
    filter: &'b Option<Filter>,
    stage_batch: &'b StageBatch,
    peers: &'b PeerKeys,
) -> impl Iterator<Item = u32> + 'b {
    let StageBatch { batch, buffer, .. } = stage_batch;
    let matches = move |(_, frame): &(usize, &_)| {
        filter.as_ref().is_none_or(|filter| filter.matches(frame, buffer, &batch.slices, peers))
    };
    batch.frames.iter().enumerate().filter(matches).map(|(index, _)| index as u32)
}
