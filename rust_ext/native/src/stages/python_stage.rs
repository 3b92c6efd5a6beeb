//! python_stage: calls a Python stage object with batches and ticks.
//!
//! A call that raises, or whose `process` returns anything but None, has failed. A child process that a stage
//! forks ends when it returns here: it must not use the tunnel's descriptors.

use std::{cell::RefCell, sync::Arc};

use pyfw_core::stages::chain::{Call, Failure, StageHandler};
use pyo3::{exceptions::PyTypeError, prelude::*};

use super::{batch::FrameBatch, views::Views};

/// EX_SOFTWARE of sysexits.h.
const EXIT_SOFTWARE: i32 = 70;

/// A Python stage object.
pub(super) struct PythonStage {
    process: Py<PyAny>,
    tick: Py<PyAny>,
    views: Arc<Views>,
}

impl PythonStage {
    /// Looks up the stage's methods.
    pub(super) fn new(stage: &Bound<'_, PyAny>, views: Arc<Views>) -> PyResult<Self> {
        let (process, tick) = (stage.getattr("process")?.unbind(), stage.getattr("tick")?.unbind());
        Ok(Self { process, tick, views })
    }

    fn call_process(&self, py: Python<'_>, call: Call) -> (Call, PyResult<()>) {
        let batch = match Bound::new(py, FrameBatch::new(&call, Arc::clone(&self.views))) {
            Ok(batch) => batch,
            Err(error) => return (call, Err(error)),
        };
        batch.get().access().begin(call);
        let pid = std::process::id();
        let result = entered(&self.views, || self.process.call1(py, (&batch,)));
        end_forked_child(py, pid);
        let result = result.and_then(|value| {
            if value.is_none(py) {
                return Ok(());
            }
            let kind = value.bind(py).get_type().name()?;
            let text =
                format!("process() returned {kind}, must be None: give verdicts through the batch");
            Err(PyTypeError::new_err(text))
        });
        match batch.get().access().end() {
            Some(call) => (call, result),
            None => unreachable!("a batch ends only here"),
        }
    }
}

impl StageHandler for PythonStage {
    fn process(&mut self, call: Call) -> (Call, Result<(), Failure>) {
        Python::attach(|py| {
            let (call, result) = self.call_process(py, call);
            (call, result.map_err(failure))
        })
    }

    fn tick(&mut self, now_ns: u64) -> Result<(), Failure> {
        Python::attach(|py| {
            let pid = std::process::id();
            let result = entered(&self.views, || self.tick.call1(py, (now_ns,)));
            end_forked_child(py, pid);
            result.map(drop).map_err(failure)
        })
    }
}

thread_local! {
    /// The chains whose stages this thread is inside, each identified by its views.
    static ENTERED: RefCell<Vec<*const Views>> = const { RefCell::new(Vec::new()) };
}

fn entered<T>(views: &Arc<Views>, body: impl FnOnce() -> T) -> T {
    ENTERED.with_borrow_mut(|chains| chains.push(Arc::as_ptr(views)));
    let result = body();
    ENTERED.with_borrow_mut(Vec::pop);
    result
}

/// Whether this thread is inside a call of one of the chain's stages.
pub(super) fn is_entered(views: &Arc<Views>) -> bool {
    ENTERED.with_borrow(|chains| chains.contains(&Arc::as_ptr(views)))
}

/// Ends a forked child, which has only this thread and shares the tunnel's descriptors.
fn end_forked_child(py: Python<'_>, parent: u32) {
    if std::process::id() != parent {
        let _ = py.import("os").and_then(|os| os.call_method1("_exit", (EXIT_SOFTWARE,)));
        // Reached only if Python cannot end the process.
        std::process::abort();
    }
}

/// Returns a failure that formats the exception's traceback on demand.
fn failure(error: PyErr) -> Failure {
    Failure(Box::new(move || {
        Python::attach(|py| {
            // All three: before Python 3.12 the value alone does not carry its traceback yet.
            let parts = (error.get_type(py), error.value(py), error.traceback(py));
            let lines = py
                .import("traceback")
                .and_then(|module| module.call_method1("format_exception", parts))
                .and_then(|lines| lines.extract::<Vec<String>>());
            lines.map(|lines| lines.concat()).unwrap_or_else(|_| error.to_string())
        })
    }))
}
