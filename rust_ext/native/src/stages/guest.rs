//! A stage object in its slot: entered with a batch, and what comes of it.
//!
//! In: a batch on loan. Out: the batch, with the stage's verdicts; a failure where the call raised or
//! returned anything but None. A child that a stage forked ends here: it must not touch the tunnel.

use std::sync::Arc;

use pyfw_core::stages::chain::{Failure, Guest, Work};
use pyo3::{exceptions::PyTypeError, prelude::*};

use super::{batch::FrameBatch, export::Views};

/// EX_SOFTWARE of sysexits.h.
const EXIT_SOFTWARE: i32 = 70;

/// See the module.
pub(super) struct PythonStage {
    process: Py<PyAny>,
    tick: Py<PyAny>,
    views: Arc<Views>,
}

impl PythonStage {
    /// Looks up a stage's methods.
    pub(super) fn new(stage: &Bound<'_, PyAny>, views: Arc<Views>) -> PyResult<Self> {
        let (process, tick) = (stage.getattr("process")?.unbind(), stage.getattr("tick")?.unbind());
        Ok(Self { process, tick, views })
    }

    fn show(&self, py: Python<'_>, work: Work) -> (Work, PyResult<()>) {
        let batch = match Bound::new(py, FrameBatch::of(&work, Arc::clone(&self.views))) {
            Ok(batch) => batch,
            Err(error) => return (work, Err(error)),
        };
        batch.get().lent().begin(work);
        let process = std::process::id();
        let result = self.process.call1(py, (&batch,));
        end_forked_child(py, process);
        let result = result.and_then(|value| {
            if value.is_none(py) {
                return Ok(());
            }
            let kind = value.bind(py).get_type().name()?;
            let text = format!("process() returned {kind}, must be None: verdicts are the batch's");
            Err(PyTypeError::new_err(text))
        });
        match batch.get().lent().end() {
            Some(work) => (work, result),
            None => unreachable!("a batch is ended once, here"),
        }
    }
}

impl Guest for PythonStage {
    fn process(&mut self, work: Work) -> (Work, Result<(), Failure>) {
        Python::attach(|py| {
            let (work, result) = self.show(py, work);
            (work, result.map_err(failure))
        })
    }

    fn tick(&mut self, now_ns: u64) -> Result<(), Failure> {
        Python::attach(|py| {
            let process = std::process::id();
            let result = self.tick.call1(py, (now_ns,));
            end_forked_child(py, process);
            result.map(drop).map_err(failure)
        })
    }
}

/// A child of `fork` has this thread alone, and the tunnel's descriptors.
fn end_forked_child(py: Python<'_>, parent: u32) {
    if std::process::id() != parent {
        // Where even that fails there is nothing left to do but end.
        let _ = py.import("os").and_then(|os| os.call_method1("_exit", (EXIT_SOFTWARE,)));
        std::process::abort();
    }
}

/// An exception, told as a traceback when somebody asks.
fn failure(error: PyErr) -> Failure {
    Failure(Box::new(move || {
        Python::attach(|py| {
            // All three: before Python 3.12 the value alone does not know its traceback yet.
            let parts = (error.get_type(py), error.value(py), error.traceback(py));
            let lines = py
                .import("traceback")
                .and_then(|module| module.call_method1("format_exception", parts))
                .and_then(|lines| lines.extract::<Vec<String>>());
            lines.map(|lines| lines.concat()).unwrap_or_else(|_| error.to_string())
        })
    }))
}
