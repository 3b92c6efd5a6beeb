//! A stage object in its slot: entered with a batch, and what comes of it.
//!
//! In: a batch on stage_batch. Out: the batch, with the stage's verdicts; a failure where the call raised or
//! returned anything but None. A child that a stage forked ends here: it must not touch the tunnel.

use std::{cell::RefCell, sync::Arc};

use pyfw_core::stages::chain::{Call, Failure, StageHandler};
use pyo3::{exceptions::PyTypeError, prelude::*};

use super::{batch::FrameBatch, views::Views};

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

    fn show(&self, py: Python<'_>, work: Call) -> (Call, PyResult<()>) {
        let batch = match Bound::new(py, FrameBatch::of(&work, Arc::clone(&self.views))) {
            Ok(batch) => batch,
            Err(error) => return (work, Err(error)),
        };
        batch.get().lent().begin(work);
        let process = std::process::id();
        let result = inside(&self.views, || self.process.call1(py, (&batch,)));
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

thread_local! {
    /// The chains whose stages this thread is inside of, each known by its views.
    static INSIDE: RefCell<Vec<*const Views>> = const { RefCell::new(Vec::new()) };
}

fn inside<T>(views: &Arc<Views>, body: impl FnOnce() -> T) -> T {
    INSIDE.with_borrow_mut(|chains| chains.push(Arc::as_ptr(views)));
    let result = body();
    INSIDE.with_borrow_mut(Vec::pop);
    result
}

/// Whether this thread is in the middle of a call of a stage of that chain.
pub(super) fn is_inside(views: &Arc<Views>) -> bool {
    INSIDE.with_borrow(|chains| chains.contains(&Arc::as_ptr(views)))
}

impl StageHandler for PythonStage {
    fn process(&mut self, work: Call) -> (Call, Result<(), Failure>) {
        Python::attach(|py| {
            let (work, result) = self.show(py, work);
            (work, result.map_err(failure))
        })
    }

    fn tick(&mut self, now_ns: u64) -> Result<(), Failure> {
        Python::attach(|py| {
            let process = std::process::id();
            let result = inside(&self.views, || self.tick.call1(py, (now_ns,)));
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
