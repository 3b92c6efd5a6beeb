//! StageChain and StageSlot: the stages of one tunnel as Python builds them.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use pyfw_core::{
    stage_api::{Outcome, Stages},
    stages::{
        chain::{Chain, Slot, SlotOptions},
        filter::{Filter, Predicate},
        state::HoldLimit,
    },
};
use pyo3::{
    exceptions::{PyRuntimeError, PyTypeError, PyValueError},
    prelude::*,
    types::{PyDict, PyList},
};

use super::{
    direction, filter_args,
    held_frame::HeldFrame,
    packet::with_bytes,
    python_stage::{PythonStage, is_inside},
    runtime::Interpreter,
    test_feed,
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
    /// For those who run it.
    pub(crate) fn stages(&self) -> Arc<dyn Stages> {
        Arc::clone(&self.chain) as Arc<dyn Stages>
    }

    /// Whether it has a stage.
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
        is_inside(&self.views)
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
        ChainCounters::new(py, &self.chain.slots(), self.chain.waits(), self.views.kept())
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

    #[pyo3(name = "try_packets", signature = (packets, *, towards, now_ns, segment_size = 0, mtu = 1420, peer = None))]
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
            test_feed::feed(
                &self.chain,
                &packets,
                test_feed::Feed { towards, now_ns, segment_size, mtu, peer },
            )
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
        self.slot.is_out()
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
        self.slot
            .handle()
            .make(packet, towards)
            .map_err(|unfit| PyValueError::new_err(unfit.text()))
    }

    fn wake_at(&self, when_ns: u64) {
        self.slot.handle().wake_at(when_ns);
    }

    #[pyo3(signature = (counter, amount = 1))]
    fn count(&self, counter: &str, amount: u64) -> PyResult<()> {
        match self.slot.handle().state().count(counter, amount) {
            true => Ok(()),
            false => Err(PyValueError::new_err(format!(
                "counter {counter:?}: letters, digits and \"_\", 1 to 64 of them, and 64 a stage"
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
        let begun = Instant::now();
        loop {
            let replaced = self.slot.replace(&options, || {
                change.call0()?;
                let handler = PythonStage::new(stage, Arc::clone(&self.views))?;
                Ok::<_, PyErr>(Box::new(handler) as _)
            });
            match replaced {
                Some(result) => {
                    self.chain.look_who_wants();
                    return result;
                }
                None => wait(py, begun, timeout_s, self.slot.name())?,
            }
        }
    }

    #[pyo3(signature = (timeout_s = 2.0))]
    fn wait_idle(&self, py: Python<'_>, timeout_s: f64) -> PyResult<()> {
        let begun = Instant::now();
        while self.slot.is_busy() {
            wait(py, begun, timeout_s, self.slot.name())?;
        }
        Ok(())
    }
}

/// Lets other threads of Python run for a moment: who is inside a stage may be one of them.
fn wait(py: Python<'_>, begun: Instant, timeout_s: f64, name: &str) -> PyResult<()> {
    if begun.elapsed().as_secs_f64() >= timeout_s {
        let text = format!("stage {name} is busy: a call of it has not returned");
        return Err(PyRuntimeError::new_err(text));
    }
    py.detach(|| std::thread::sleep(Duration::from_millis(1)));
    Ok(())
}

/// Keyword arguments of a slot, as `_native.pyi` has them.
fn slot_options(given: Option<&Bound<'_, PyDict>>) -> PyResult<SlotOptions> {
    let mut options = SlotOptions {
        name: String::new(),
        directions: [true, true],
        filter: None,
        reorders: false,
        pass_on_error: false,
        hold: HoldLimit { frames: 1024, bytes: 4 << 20 },
        tick_ns: 0,
        failures: 100,
        stall_ns: Some(10_000_000_000),
        outcome: Outcome::Close,
    };
    let (mut filter, mut peers): (Option<Filter>, Option<Vec<Bound<'_, PyAny>>>) = (None, None);
    for (key, value) in given.into_iter().flatten() {
        let key: String = key.extract()?;
        match key.as_str() {
            "name" => options.name = value.extract()?,
            "direction" => {
                let choices = [
                    ("both", [true, true]),
                    ("outbound", [true, false]),
                    ("inbound", [false, true]),
                ];
                options.directions = choice(&key, value.extract()?, choices)?;
            }
            "peers" if !value.is_none() => {
                peers = Some(value.try_iter()?.collect::<PyResult<Vec<_>>>()?);
            }
            "filter" if !value.is_none() => filter = Some(filter_args::filter(value.cast()?)?),
            "peers" | "filter" => {}
            "reorders" => options.reorders = value.extract()?,
            "on_error" => {
                let choices = [("drop", false), ("pass", true)];
                options.pass_on_error = choice(&key, value.extract()?, choices)?;
            }
            "tick_ms" => options.tick_ns = nanoseconds(&key, value.extract()?, 1e6)?,
            "hold_frames" => options.hold.frames = value.extract()?,
            "hold_bytes" => options.hold.bytes = value.extract()?,
            "failures" => options.failures = value.extract::<u32>()?.max(1),
            "stall_s" => {
                let limit_ns = nanoseconds(&key, value.extract()?, 1e9)?;
                options.stall_ns = Some(limit_ns).filter(|&ns| ns != 0);
            }
            "outcome" => {
                let choices = [("close", Outcome::Close), ("remove", Outcome::Remove)];
                options.outcome = choice(&key, value.extract()?, choices)?;
            }
            other => {
                return Err(PyTypeError::new_err(format!("a slot has no option {other:?}")));
            }
        }
    }
    if let Some(peers) = peers {
        let keys = peers.iter().map(filter_args::peer).collect::<PyResult<_>>()?;
        filter.get_or_insert_with(Filter::default).predicates.insert(0, Predicate::Peer(keys));
    }
    options.filter = filter;
    Ok(options)
}

fn choice<T: Copy, const N: usize>(key: &str, value: &str, known: [(&str, T); N]) -> PyResult<T> {
    known.iter().find(|(name, _)| *name == value).map(|(_, meant)| *meant).ok_or_else(|| {
        let names: Vec<_> = known.iter().map(|(name, _)| *name).collect();
        value_error(format!("{key} is {value:?}: {}", names.join(" or ")))
    })
}

fn nanoseconds(key: &str, value: f64, unit_ns: f64) -> PyResult<u64> {
    match value {
        value if (0.0..=1e9).contains(&value) => Ok((value * unit_ns) as u64),
        value => Err(value_error(format!("{key} is {value}, must be 0 or more"))),
    }
}
