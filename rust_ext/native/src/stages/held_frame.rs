//! held_frame: HeldFrame, a frame that a stage holds.

use std::sync::{Arc, Mutex};

use pyfw_core::{
    stage_api::Direction,
    stages::{
        chain::StageHandle,
        state::{self, EmitError},
    },
    sync,
};
use pyo3::{
    exceptions::PyValueError,
    prelude::*,
    types::{PyBytes, PyMemoryView},
};

use super::packet::to_scapy;

/// See `_native.pyi`.
#[pyclass(frozen, module = "pyfw._native")]
pub(crate) struct HeldFrame {
    held: Mutex<Option<state::HeldFrame>>,
    handle: Arc<StageHandle>,
    #[pyo3(get)]
    direction: &'static str,
    #[pyo3(get)]
    length: u32,
    #[pyo3(get)]
    segments: u16,
    #[pyo3(get)]
    flow: u64,
    #[pyo3(get)]
    received_ns: u64,
    #[pyo3(get)]
    peer: Option<String>,
}

impl HeldFrame {
    pub(super) fn new(
        held: state::HeldFrame,
        handle: Arc<StageHandle>,
        peer: Option<String>,
    ) -> Self {
        Self {
            direction: held.direction.name(),
            length: held.frame.length,
            segments: held.frame.segments,
            flow: held.frame.flow(),
            received_ns: held.received_ns,
            peer,
            held: Mutex::new(Some(held)),
            handle,
        }
    }

    pub(super) fn emit(&self, direction: Option<Direction>) -> PyResult<()> {
        let mut held = sync::lock(&self.held);
        let own = held.as_ref().map_or(Direction::Outbound, |held| held.direction);
        self.handle.emit(&mut held, direction.unwrap_or(own)).map_err(|error| {
            PyValueError::new_err(match error {
                EmitError::NotHeld => "the frame was emitted before, or its stage was stopped",
                EmitError::Overtaken => {
                    "a later frame of the same flow has passed this one; emit in order, or declare \
                     reorders = True"
                }
            })
        })
    }

    fn with<T>(&self, body: impl FnOnce(&state::HeldFrame) -> PyResult<T>) -> PyResult<T> {
        match &*sync::lock(&self.held) {
            Some(held) => body(held),
            None => Err(PyValueError::new_err("the frame was emitted")),
        }
    }
}

#[pymethods]
impl HeldFrame {
    #[getter]
    fn data<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyMemoryView>> {
        let bytes = self.with(|held| Ok(PyBytes::new(py, &held.bytes)))?;
        PyMemoryView::from(bytes.as_any())
    }

    fn to_scapy<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let bytes = self.with(|held| Ok(held.bytes.clone()))?;
        to_scapy(py, &bytes)
    }
}

impl Drop for HeldFrame {
    fn drop(&mut self) {
        if let Some(held) = &*sync::lock(&self.held) {
            self.handle.forget(held);
        }
    }
}
