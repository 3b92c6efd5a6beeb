//! The interpreter, as data threads enter it.
//!
//! In: a body to run attached. Out: how long the attachment had to be waited for. A data thread keeps
//! one thread state for as long as it lives: making one costs more than a batch.

use std::{cell::OnceCell, time::Instant};

use pyfw_core::stages::chain::Runtime;
use pyo3::{ffi, prelude::*};

use super::gil_wait;

/// See the module.
pub(super) struct Interpreter;

impl Runtime for Interpreter {
    fn enter(&self, body: &mut dyn FnMut()) -> u64 {
        keep_thread_state();
        let asked = Instant::now();
        Python::attach(|_| {
            let waited_ns = asked.elapsed().as_nanos() as u64;
            body();
            waited_ns
        })
    }

    fn leave(&self, body: &mut dyn FnMut()) {
        /// Of a closure that stays on this thread.
        struct Here<'b>(&'b mut dyn FnMut());
        // SAFETY: `detach` runs its closure on the calling thread.
        unsafe impl Send for Here<'_> {}
        let here = Here(body);
        Python::attach(|py| {
            py.detach(move || {
                let here = here;
                (here.0)();
            });
        });
    }

    fn thread(&self) -> u64 {
        gil_wait::this_thread()
    }

    fn is_kept_out(&self, thread: u64, now_ns: u64) -> bool {
        gil_wait::is_kept_out(thread, now_ns)
    }

    fn now_ns(&self) -> u64 {
        now_ns()
    }
}

/// Boot nanoseconds where there is such a clock, else since the first call.
#[cfg(target_os = "linux")]
pub(super) fn now_ns() -> u64 {
    pyfw_linux::sys::clock::boottime_ns()
}

/// Boot nanoseconds where there is such a clock, else since the first call.
#[cfg(not(target_os = "linux"))]
pub(super) fn now_ns() -> u64 {
    static FIRST: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    FIRST.get_or_init(Instant::now).elapsed().as_nanos() as u64 + 1
}

/// A thread's state, kept from its first batch to its end.
struct KeptState {
    state: ffi::PyGILState_STATE,
    thread: *mut ffi::PyThreadState,
}

thread_local! {
    static KEPT: OnceCell<KeptState> = const { OnceCell::new() };
}

fn keep_thread_state() {
    KEPT.with(|kept| {
        // SAFETY: may be called from any thread. A state that is there is Python's own: it stays.
        if kept.get().is_none() && unsafe { ffi::PyGILState_GetThisThreadState() }.is_null() {
            // SAFETY: the interpreter runs, as it made the chain that this thread serves; the two calls
            // leave the thread detached, with a state that the drop below gives back.
            let state = unsafe {
                let state = ffi::PyGILState_Ensure();
                KeptState { state, thread: ffi::PyEval_SaveThread() }
            };
            // It was empty a moment ago, and this thread's alone.
            let _ = kept.set(state);
        }
    });
}

impl Drop for KeptState {
    fn drop(&mut self) {
        // SAFETY: the state is this thread's, and saved. Where the interpreter has ended it is gone.
        unsafe {
            if ffi::Py_IsInitialized() != 0 {
                ffi::PyEval_RestoreThread(self.thread);
                ffi::PyGILState_Release(self.state);
            }
        }
    }
}
