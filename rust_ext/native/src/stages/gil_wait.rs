//! gil_wait: tells a stage call that waits for the GIL from one that does not return.
//!
//! A call that is in the middle of its Python code when other code of the process takes the GIL and keeps it
//! is not to blame. It is recognised by two things: no thread gets the GIL, as a probe thread finds out; and
//! the call's thread keeps waking up, as a thread does once per switch interval while it waits for the GIL
//! (CPython, Python/ceval_gil.c, take_gil). The thread that holds the GIL runs, or sleeps in a system call.

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

/// Shortest time between two samples of a thread.
const SAMPLE_NS: u64 = 50_000_000;
/// A waiting thread wakes at least this often: four of CPython's default switch intervals.
const WAKE_NS: u64 = 20_000_000;
/// Samples older than this are discarded.
const SAMPLE_AGE_NS: u64 = 1_000_000_000;

struct Sample {
    at_ns: u64,
    switches: u64,
    waits: bool,
}

/// The last sample of each thread.
static SAMPLES: LazyLock<Mutex<HashMap<u64, Sample>>> = LazyLock::new(Mutex::default);
/// When the probe thread began to wait for the GIL; 0: no probe runs.
static PROBED_NS: AtomicU64 = AtomicU64::new(0);

/// Returns the calling thread's id (gettid(2)); 0 without procfs.
pub(super) fn thread_id() -> u64 {
    thread_local! {
        static ID: OnceCell<u64> = const { OnceCell::new() };
    }
    let read = || fs::read_link("/proc/thread-self").ok()?.file_name()?.to_str()?.parse().ok();
    ID.with(|id| *id.get_or_init(|| read().unwrap_or(0)))
}

/// Whether a thread inside a stage call waits for the GIL. Called several times a second while the call
/// lasts.
pub(super) fn waits_for_gil(thread_id: u64, now_ns: u64) -> bool {
    let Some(switches) = voluntary_switches(thread_id) else { return false };
    let mut samples = sync::lock(&SAMPLES);
    samples.retain(|_, sample| now_ns.saturating_sub(sample.at_ns) < SAMPLE_AGE_NS);
    let waits = match samples.get(&thread_id) {
        Some(last) => {
            let elapsed_ns = now_ns.saturating_sub(last.at_ns);
            if elapsed_ns < SAMPLE_NS {
                return last.waits;
            }
            let wakes = switches.saturating_sub(last.switches);
            gil_held_ns(now_ns) >= elapsed_ns && wakes * WAKE_NS >= elapsed_ns
        }
        None => {
            gil_held_ns(now_ns); // starts the probe
            false
        }
    };
    samples.insert(thread_id, Sample { at_ns: now_ns, switches, waits });
    waits
}

/// Returns for how long, at least, no thread has got the GIL, and keeps a probe thread waiting for it.
fn gil_held_ns(now_ns: u64) -> u64 {
    if let Err(probed_ns) = PROBED_NS.compare_exchange(0, now_ns.max(1), SeqCst, SeqCst) {
        return now_ns.saturating_sub(probed_ns);
    }
    let probe = || {
        Python::try_attach(|_| ());
        PROBED_NS.store(0, SeqCst);
    };
    if thread::Builder::new().name("pyfw-gil-probe".into()).spawn(probe).is_err() {
        PROBED_NS.store(0, SeqCst);
    }
    0
}

/// Returns how often a thread has gone to sleep by itself (proc_pid_status(5)).
fn voluntary_switches(thread_id: u64) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/self/task/{thread_id}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
    line.trim().parse().ok()
}
