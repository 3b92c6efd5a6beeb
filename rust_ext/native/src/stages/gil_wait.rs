//! Who is kept out of the interpreter in the middle of a call: somebody else has it, and does not let go.
//!
//! In: a thread whose call lasts, looked at again and again. Out: whether it waits, or is what is waited for.
//! How: nobody gets the interpreter, as a thread that asked for it since the last look tells; and this one has
//! woken all the time, as those do that wait for it (CPython, Python/ceval_gil.c, take_gil: every switch
//! interval). Whoever has it runs, or sleeps in a call of the system.

use std::{
    cell::OnceCell,
    collections::HashMap,
    fs,
    sync::{
        LazyLock, Mutex,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    thread,
};

use pyfw_core::sync;
use pyo3::Python;

/// Less than this between two looks tells nothing new.
const SPAN_NS: u64 = 50_000_000;
/// Four of Python's own switch intervals; with stages they are shorter.
const WAKES_EVERY_NS: u64 = 20_000_000;
const FORGOTTEN_NS: u64 = 1_000_000_000;

/// What was seen of a thread.
struct Seen {
    at_ns: u64,
    switches: u64,
    kept_out: bool,
}

/// Threads by their numbers.
static SEEN: LazyLock<Mutex<HashMap<u64, Seen>>> = LazyLock::new(Mutex::default);
/// Since when a thread of ours has been asking for the interpreter; 0: none is.
static ASKED_NS: AtomicU64 = AtomicU64::new(0);

/// The calling thread's number; 0 where no procfs tells it.
pub(super) fn this_thread() -> u64 {
    thread_local! {
        static NUMBER: OnceCell<u64> = const { OnceCell::new() };
    }
    NUMBER.with(|number| *number.get_or_init(|| known_to_procfs().unwrap_or(0)))
}

fn known_to_procfs() -> Option<u64> {
    fs::read_link("/proc/thread-self").ok()?.file_name()?.to_str()?.parse().ok()
}

/// See the module.
pub(super) fn is_kept_out(thread: u64, now_ns: u64) -> bool {
    let Some(switches) = voluntary_switches(thread) else { return false };
    let mut seen = sync::lock(&SEEN);
    seen.retain(|_, seen| now_ns.saturating_sub(seen.at_ns) < FORGOTTEN_NS);
    let before = seen.get(&thread).map(|seen| {
        (now_ns.saturating_sub(seen.at_ns), switches.saturating_sub(seen.switches), seen.kept_out)
    });
    if let Some((_, _, kept_out)) = before.filter(|(span_ns, ..)| *span_ns < SPAN_NS) {
        return kept_out;
    }
    let held_ns = held_ns(now_ns);
    let kept_out = before
        .is_some_and(|(span_ns, wakes, _)| held_ns >= span_ns && wakes * WAKES_EVERY_NS >= span_ns);
    seen.insert(thread, Seen { at_ns: now_ns, switches, kept_out });
    kept_out
}

/// For how long, at least, nobody has got the interpreter.
fn held_ns(now_ns: u64) -> u64 {
    if let Err(asked_ns) = ASKED_NS.compare_exchange(0, now_ns.max(1), SeqCst, SeqCst) {
        return now_ns.saturating_sub(asked_ns);
    }
    let asks = || {
        Python::try_attach(|_| ());
        ASKED_NS.store(0, SeqCst);
    };
    if thread::Builder::new().name("pyfw-asks".into()).spawn(asks).is_err() {
        ASKED_NS.store(0, SeqCst);
    }
    0
}

/// How often a thread of ours has gone to sleep by itself (proc(5)).
fn voluntary_switches(thread: u64) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/self/task/{thread}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
    line.trim().parse().ok()
}
