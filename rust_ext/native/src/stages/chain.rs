//! chain: StageChain and StageSlot, with which `pyfw.stages.stage_set` builds the stages of one tunnel.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use pyfw_core::{
    stage_api::Stages,
    stages::chain::{Chain, Slot},
};
use pyo3::{
    exceptions::{PyRuntimeError, PyValueError},
    prelude::*,
    types::{PyDict, PyList},
};

use super::{
    direction, filter_args,
    held_frame::HeldFrame,
    packet::with_bytes,
    python_stage::{PythonStage, is_entered},
    runtime::Interpreter,
    slot_options::slot_options,
    test_feed::{self, FeedOptions},
    views::Views,
};
use crate::{
    convert::value_error,
    counters::{ChainCounters, StageCounters},
};

/// See `_native.pyi`.
#[pyclass(frozen, module = "pyfw._native")]
pub(crate) struct StageChain {
    chain: Arc<Chain>,
    views: Arc<Views>,
}

impl StageChain {
    /// Returns the chain for an engine or a replay to run.
    pub(crate) fn stages(&self) -> Arc<dyn Stages> {
        Arc::clone(&self.chain) as Arc<dyn Stages>
    }

    /// Whether the chain has a stage.
    pub(crate) fn has_stages(&self) -> bool {
        !self.chain.slots().is_empty()
    }
}

#[pymethods]
impl StageChain {
    #[new]
    fn new() -> Self {
        Self { chain: Arc::new(Chain::new(Box::new(Interpreter))), views: Arc::default() }
    }

    #[getter]
    fn is_entered(&self) -> bool {
        is_entered(&self.views)
    }

    #[pyo3(signature = (stage, **options))]
    fn slot(
        &self,
        stage: &Bound<'_, PyAny>,
        options: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<StageSlot> {
        let options = slot_options(options)?;
        let handler = PythonStage::new(stage, Arc::clone(&self.views))?;
        let slot = self.chain.slot(options, Box::new(handler));
        Ok(StageSlot { slot, chain: Arc::clone(&self.chain), views: Arc::clone(&self.views) })
    }

    fn set(&self, py: Python<'_>, slots: Vec<PyRef<'_, StageSlot>>) {
        let slots = slots.iter().map(|slot| Arc::clone(&slot.slot)).collect();
        py.detach(|| self.chain.set(slots));
    }

    pub(crate) fn counters(&self, py: Python<'_>) -> PyResult<ChainCounters> {
        let views_kept = self.views.retired_count();
        ChainCounters::new(py, &self.chain.slots(), self.chain.waits(), views_kept)
    }

    fn notices<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let list = PyList::empty(py);
        for notice in self.chain.take_notices() {
            let fields = PyDict::new(py);
            fields.set_item("message", notice.message)?;
            fields.set_item("stage", notice.stage)?;
            fields.set_item("reason", notice.text)?;
            fields.set_item("times", notice.times)?;
            list.append(fields)?;
        }
        Ok(list)
    }

    #[pyo3(signature = (packets, *, towards, now_ns, segment_size = 0, mtu = 1420, peer = None))]
    #[allow(clippy::too_many_arguments)] // keyword arguments
    fn try_packets(
        &self,
        py: Python<'_>,
        packets: Vec<Bound<'_, PyAny>>,
        towards: &str,
        now_ns: u64,
        segment_size: u16,
        mtu: usize,
        peer: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Vec<Vec<u8>>> {
        let towards = direction(towards)?;
        let packets = packets
            .iter()
            .map(|packet| with_bytes(packet, |bytes| Ok(bytes.to_vec())))
            .collect::<PyResult<Vec<_>>>()?;
        let peer = peer.map(filter_args::peer).transpose()?.unwrap_or_default();
        py.detach(|| {
            let options = FeedOptions { towards, now_ns, segment_size, mtu, peer };
            test_feed::feed(&self.chain, &packets, options)
        })
        .map_err(value_error)
    }

    fn try_tick(&self, py: Python<'_>, now_ns: u64) {
        py.detach(|| self.chain.tick(now_ns));
    }

    fn due_ns(&self) -> Option<u64> {
        self.chain.due_ns()
    }
}

/// See `_native.pyi`.
#[pyclass(frozen, module = "pyfw._native")]
pub(crate) struct StageSlot {
    slot: Arc<Slot>,
    chain: Arc<Chain>,
    views: Arc<Views>,
}

#[pymethods]
impl StageSlot {
    #[getter]
    fn name(&self) -> &str {
        self.slot.name()
    }

    #[getter]
    fn is_out(&self) -> bool {
        self.slot.is_removed()
    }

    #[getter]
    fn is_busy(&self) -> bool {
        self.slot.is_busy()
    }

    #[pyo3(signature = (frame, direction = None))]
    fn emit(&self, frame: &Bound<'_, PyAny>, direction: Option<&str>) -> PyResult<()> {
        let towards = direction.map(self::direction).transpose()?;
        if let Ok(held) = frame.cast::<HeldFrame>() {
            return held.get().emit(towards);
        }
        let Some(towards) = towards else {
            return Err(PyValueError::new_err("a packet of your own needs a direction"));
        };
        let packet = with_bytes(frame, |bytes| Ok(bytes.to_vec()))?;
        let emitted = self.slot.handle().emit_packet(packet, towards);
        emitted.map_err(|error| PyValueError::new_err(error.text()))
    }

    fn wake_at(&self, when_ns: u64) {
        self.slot.handle().wake_at(when_ns);
    }

    #[pyo3(signature = (counter, amount = 1))]
    fn count(&self, counter: &str, amount: u64) -> PyResult<()> {
        match self.slot.handle().state().count(counter, amount) {
            true => Ok(()),
            false => Err(PyValueError::new_err(format!(
                "invalid counter {counter:?}: expected 1 to 64 letters, digits or \"_\", and at most 64 \
                 counters per stage"
            ))),
        }
    }

    fn counters(&self) -> StageCounters {
        StageCounters::from(&*self.slot)
    }

    #[pyo3(signature = (stage, change, timeout_s = 2.0, **options))]
    fn replace(
        &self,
        py: Python<'_>,
        stage: &Bound<'_, PyAny>,
        change: &Bound<'_, PyAny>,
        timeout_s: f64,
        options: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        let options = slot_options(options)?;
        let start = Instant::now();
        loop {
            let replaced = self.slot.replace(&options, || {
                change.call0()?;
                let handler = PythonStage::new(stage, Arc::clone(&self.views))?;
                Ok::<_, PyErr>(Box::new(handler) as _)
            });
            match replaced {
                Some(result) => {
                    self.chain.update_directions();
                    return result;
                }
                None => wait(py, start, timeout_s, self.slot.name())?,
            }
        }
    }

    #[pyo3(signature = (timeout_s = 2.0))]
    fn wait_idle(&self, py: Python<'_>, timeout_s: f64) -> PyResult<()> {
        let start = Instant::now();
        while self.slot.is_busy() {
            wait(py, start, timeout_s, self.slot.name())?;
        }
        Ok(())
    }
}

/// Sleeps detached for a moment, since the thread inside the stage may need the GIL. Raises RuntimeError
/// after the timeout.
fn wait(py: Python<'_>, start: Instant, timeout_s: f64, name: &str) -> PyResult<()> {
    if start.elapsed().as_secs_f64() >= timeout_s {
        let text = format!("stage {name} is busy: one of its calls has not returned");
        return Err(PyRuntimeError::new_err(text));
    }
    py.detach(|| std::thread::sleep(Duration::from_millis(1)));
    Ok(())
}
