//! runtime: the Python interpreter as data threads use it.

use std::{cell::OnceCell, time::Instant};

use pyfw_core::stages::chain::Runtime;
use pyo3::{ffi, prelude::*};

use super::gil_wait;

/// Attaches threads to the interpreter. A data thread keeps one thread state for as long as it lives, because
/// creating one costs more than a batch.
pub(super) struct Interpreter;

impl Runtime for Interpreter {
    fn attach(&self, body: &mut dyn FnMut()) -> u64 {
        keep_thread_state();
        let start = Instant::now();
        Python::attach(|_| {
            let waited_ns = start.elapsed().as_nanos() as u64;
            body();
            waited_ns
        })
    }

    fn detach(&self, body: &mut dyn FnMut()) {
        /// A closure that stays on its thread.
        struct SameThread<'b>(&'b mut dyn FnMut());
        // SAFETY: `py.detach` runs its closure on the calling thread.
        unsafe impl Send for SameThread<'_> {}
        let body = SameThread(body);
        Python::attach(|py| {
            py.detach(move || {
                let body = body;
                (body.0)();
            });
        });
    }

    fn thread_id(&self) -> u64 {
        gil_wait::thread_id()
    }

    fn waits_for_gil(&self, thread_id: u64, now_ns: u64) -> bool {
        gil_wait::waits_for_gil(thread_id, now_ns)
    }

    fn now_ns(&self) -> u64 {
        now_ns()
    }
}

/// Returns the boot time in nanoseconds.
#[cfg(target_os = "linux")]
fn now_ns() -> u64 {
    pyfw_linux::sys::clock::boottime_ns()
}

/// Returns the nanoseconds since the first call.
#[cfg(not(target_os = "linux"))]
fn now_ns() -> u64 {
    static FIRST: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    FIRST.get_or_init(Instant::now).elapsed().as_nanos() as u64 + 1
}

/// A thread's Python thread state, kept from its first batch until the thread ends.
struct ThreadState {
    state: ffi::PyGILState_STATE,
    thread: *mut ffi::PyThreadState,
}

thread_local! {
    static THREAD_STATE: OnceCell<ThreadState> = const { OnceCell::new() };
}

fn keep_thread_state() {
    THREAD_STATE.with(|kept| {
        // SAFETY: may be called from any thread. A state that exists belongs to Python and stays.
        if kept.get().is_none() && unsafe { ffi::PyGILState_GetThisThreadState() }.is_null() {
            // SAFETY: the interpreter runs, because it created the chain that this thread serves; the two
            // calls leave the thread detached, with a state that `drop` below gives back.
            let state = unsafe {
                let state = ffi::PyGILState_Ensure();
                ThreadState { state, thread: ffi::PyEval_SaveThread() }
            };
            // Cannot fail: the cell is this thread's and was empty above.
            let _ = kept.set(state);
        }
    });
}

impl Drop for ThreadState {
    fn drop(&mut self) {
        // SAFETY: the state belongs to this thread and is saved. If the interpreter has ended, it is gone.
        unsafe {
            if ffi::Py_IsInitialized() != 0 {
                ffi::PyEval_RestoreThread(self.thread);
                ffi::PyGILState_Release(self.state);
            }
        }
    }
}
