//! FrameBatch: what a stage is called with. It has the batch for as long as the call lasts.

use std::sync::Arc;

use pyfw_core::{
    frame::Frame as Row,
    stages::{
        chain::{Call, StageHandle},
        state::Reason,
        verdicts::Refused,
    },
};
use pyo3::{
    exceptions::{PyIndexError, PyValueError},
    prelude::*,
    types::{PyDict, PyList, PyMemoryView, PyRange},
};

use super::{
    batch_access::{BatchAccess, key_of, no_row},
    column::{self, Numbers},
    filter_args,
    frame::Frame,
    held_frame::HeldFrame,
    packet::with_bytes,
    views::Views,
};

type Column<'py> = PyResult<Bound<'py, PyMemoryView>>;

/// See `_native.pyi`.
#[pyclass(frozen, sequence, module = "pyfw._native")]
pub(crate) struct FrameBatch {
    lent: Arc<BatchAccess>,
    #[pyo3(get)]
    direction: &'static str,
    #[pyo3(get)]
    now_ns: u64,
}

impl FrameBatch {
    /// The face of `work`, which is still to be given to it.
    pub(super) fn of(work: &Call, views: Arc<Views>) -> Self {
        Self {
            direction: work.verdicts.direction().name(),
            now_ns: work.stage_batch.batch.received_ns,
            lent: Arc::new(BatchAccess::of(work, views)),
        }
    }

    /// What it shows, to be given and taken back.
    pub(super) fn lent(&self) -> &BatchAccess {
        &self.lent
    }

    fn with<T>(&self, body: impl FnOnce(&mut Call) -> PyResult<T>) -> PyResult<T> {
        self.lent.with(body)
    }

    fn row<T>(
        &self,
        index: isize,
        body: impl FnOnce(&mut Call, usize) -> PyResult<T>,
    ) -> PyResult<T> {
        self.lent.row(index, body)
    }

    fn verdict(
        &self,
        index: isize,
        body: impl FnOnce(&mut Call, usize) -> Result<(), Refused>,
    ) -> PyResult<()> {
        self.row(index, |work, row| body(work, row).map_err(|error| refused(error, index)))
    }

    fn u8<'py>(&self, py: Python<'py>, of: impl Fn(&Row) -> u8) -> Column<'py> {
        let numbers = self.with(|work| Ok(work.verdicts.frames().map(of).collect()))?;
        column::view(py, Numbers::U8(numbers), 1)
    }

    fn u16<'py>(&self, py: Python<'py>, of: impl Fn(&Row) -> u16) -> Column<'py> {
        let numbers = self.with(|work| Ok(work.verdicts.frames().map(of).collect()))?;
        column::view(py, Numbers::U16(numbers), 1)
    }

    fn u32<'py>(&self, py: Python<'py>, of: impl Fn(&Row) -> u32) -> Column<'py> {
        let numbers = self.with(|work| Ok(work.verdicts.frames().map(of).collect()))?;
        column::view(py, Numbers::U32(numbers), 1)
    }

    fn u64<'py>(&self, py: Python<'py>, of: impl Fn(&Row) -> u64) -> Column<'py> {
        let numbers = self.with(|work| Ok(work.verdicts.frames().map(of).collect()))?;
        column::view(py, Numbers::U64(numbers), 1)
    }

    fn addresses<'py>(&self, py: Python<'py>, of: impl Fn(&Row) -> [u8; 16]) -> Column<'py> {
        let bytes = self.with(|work| Ok(work.verdicts.frames().flat_map(of).collect()))?;
        column::view(py, Numbers::U8(bytes), 16)
    }
}

#[pymethods]
impl FrameBatch {
    fn __len__(&self) -> PyResult<usize> {
        self.with(|work| Ok(work.verdicts.len()))
    }

    fn __getitem__(slf: Bound<'_, Self>, index: isize) -> PyResult<Frame> {
        let row = slf.get().row(index, |_, row| Ok(row))?;
        Ok(Frame::of(Arc::clone(&slf.get().lent), row))
    }

    fn __iter__<'py>(slf: Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let count = slf.get().__len__()?;
        let frames = (0..count).map(|row| Frame::of(Arc::clone(&slf.get().lent), row));
        PyList::new(
            slf.py(),
            frames.map(|f| Bound::new(slf.py(), f)).collect::<PyResult<Vec<_>>>()?,
        )?
        .call_method0("__iter__")
    }

    #[getter]
    fn version<'py>(&self, py: Python<'py>) -> Column<'py> {
        self.u8(py, |row| row.version)
    }

    #[getter]
    fn protocol<'py>(&self, py: Python<'py>) -> Column<'py> {
        self.u8(py, |row| row.protocol)
    }

    #[getter]
    fn src_port<'py>(&self, py: Python<'py>) -> Column<'py> {
        self.u16(py, |row| row.source_port)
    }

    #[getter]
    fn dst_port<'py>(&self, py: Python<'py>) -> Column<'py> {
        self.u16(py, |row| row.destination_port)
    }

    #[getter]
    fn length<'py>(&self, py: Python<'py>) -> Column<'py> {
        self.u32(py, |row| row.length)
    }

    #[getter]
    fn segments<'py>(&self, py: Python<'py>) -> Column<'py> {
        self.u16(py, |row| row.segments)
    }

    #[getter]
    fn segment_size<'py>(&self, py: Python<'py>) -> Column<'py> {
        self.u16(py, |row| row.segment_size)
    }

    #[getter]
    fn tcp_flags<'py>(&self, py: Python<'py>) -> Column<'py> {
        self.u8(py, |row| row.tcp_flags)
    }

    #[getter]
    fn ecn<'py>(&self, py: Python<'py>) -> Column<'py> {
        self.u8(py, |row| row.ds & 0b11)
    }

    #[getter]
    fn dscp<'py>(&self, py: Python<'py>) -> Column<'py> {
        self.u8(py, |row| row.ds >> 2)
    }

    #[getter]
    fn flow<'py>(&self, py: Python<'py>) -> Column<'py> {
        self.u64(py, |row| row.flow())
    }

    #[getter]
    fn peer<'py>(&self, py: Python<'py>) -> Column<'py> {
        self.u32(py, |row| row.peer)
    }

    #[getter]
    fn marks<'py>(&self, py: Python<'py>) -> Column<'py> {
        self.u32(py, |row| row.mark)
    }

    #[getter]
    fn source<'py>(&self, py: Python<'py>) -> Column<'py> {
        self.addresses(py, |row| row.source)
    }

    #[getter]
    fn destination<'py>(&self, py: Python<'py>) -> Column<'py> {
        self.addresses(py, |row| row.destination)
    }

    #[getter]
    fn received_ns<'py>(&self, py: Python<'py>) -> Column<'py> {
        self.u64(py, |_| self.now_ns)
    }

    fn peer_key(&self, number: u32) -> PyResult<Option<String>> {
        self.lent.peer_key(number)
    }

    #[pyo3(signature = (**filter))]
    fn r#where(&self, filter: Option<Bound<'_, PyDict>>) -> PyResult<Vec<usize>> {
        // Before the lock: compiling a filter runs Python.
        let chosen = filter.as_ref().map(filter_args::filter).transpose()?.unwrap_or_default();
        self.with(|work| {
            let Call { stage_batch, verdicts, peers, .. } = work;
            let holds = |row: &usize| {
                verdicts.selects(
                    *row,
                    &chosen,
                    &stage_batch.buffer,
                    &stage_batch.batch.slices,
                    peers,
                )
            };
            Ok((0..verdicts.len()).filter(holds).collect())
        })
    }

    fn data<'py>(&self, py: Python<'py>, index: isize) -> PyResult<Bound<'py, PyMemoryView>> {
        self.lent.data(py, index)
    }

    #[pyo3(signature = (index, reason = "dropped"))]
    fn drop(&self, index: isize, reason: &str) -> PyResult<()> {
        let number = reason_of(&self.lent.handle, reason)?;
        self.verdict(index, |work, row| work.verdicts.drop(row, number))
    }

    fn answer(&self, index: isize, packet: &Bound<'_, PyAny>) -> PyResult<()> {
        with_bytes(packet, |bytes| {
            self.verdict(index, |work, row| work.verdicts.answer(row, bytes))
        })
    }

    fn replace(&self, index: isize, packet: &Bound<'_, PyAny>) -> PyResult<()> {
        with_bytes(packet, |bytes| {
            self.verdict(index, |work, row| work.verdicts.replace(row, bytes))
        })
    }

    fn insert(&self, index: isize, packet: &Bound<'_, PyAny>) -> PyResult<()> {
        with_bytes(packet, |bytes| {
            self.with(|work| {
                let count = work.verdicts.len();
                match usize::try_from(index) {
                    Ok(row) if row <= count => {
                        work.verdicts.insert(row, bytes).map_err(|error| refused(error, index))
                    }
                    _ => Err(no_row(index, count + 1)),
                }
            })
        })
    }

    fn hold(&self, index: isize) -> PyResult<Option<HeldFrame>> {
        self.row(index, |work, row| {
            let Call { stage_batch, verdicts, call, peers, .. } = work;
            let state = self.lent.handle.state();
            let length = verdicts.frame(row).map_or(0, |frame| frame.length as usize);
            if !state.may_hold(length) {
                verdicts.drop(row, Reason::HOLD_OVERFLOW).map_err(|error| refused(error, index))?;
                return Ok(None);
            }
            let (frame, bytes) = verdicts
                .hold(row, &stage_batch.buffer, &stage_batch.batch.slices)
                .map_err(|error| refused(error, index))?;
            let (direction, place) = (verdicts.direction(), verdicts.place_of(row));
            let peer = key_of(peers, frame.peer);
            let held = state.hold(direction, frame, bytes, self.now_ns, *call, row as u32, place);
            Ok(Some(HeldFrame::new(held, Arc::clone(&self.lent.handle), peer)))
        })
    }

    fn split<'py>(&self, py: Python<'py>, index: isize) -> PyResult<Bound<'py, PyRange>> {
        let rows = self.row(index, |work, row| {
            let Call { stage_batch, verdicts, .. } = work;
            verdicts
                .split(row, &stage_batch.buffer, &stage_batch.batch.slices)
                .map_err(|error| refused(error, index))
        })?;
        PyRange::new(py, rows.start as isize, rows.end as isize)
    }

    fn mark(&self, index: isize, value: u32) -> PyResult<()> {
        self.verdict(index, |work, row| work.verdicts.mark(row, value))
    }

    fn set_ecn(&self, index: isize, ecn: u8) -> PyResult<()> {
        if ecn > 3 {
            return Err(PyValueError::new_err(format!("ecn is {ecn}, must be 0 to 3")));
        }
        self.verdict(index, |work, row| work.verdicts.set_ecn(row, ecn))
    }
}

/// The number of a reason that a stage gives.
pub(super) fn reason_of(handle: &StageHandle, reason: &str) -> PyResult<Reason> {
    handle.state().reason(reason).ok_or_else(|| {
        PyValueError::new_err(format!(
            "reason {reason:?}: letters, digits and \"_\", 1 to 64 of them, and 64 reasons a stage"
        ))
    })
}

fn refused(error: Refused, index: isize) -> PyErr {
    match error {
        Refused::NoRow => PyIndexError::new_err(format!("there is no frame {index}")),
        Refused::Gone => {
            PyValueError::new_err(format!("frame {index} was dropped, held or split before"))
        }
        Refused::Unfit(unfit) => PyValueError::new_err(unfit.text()),
    }
}
