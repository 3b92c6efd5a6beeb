//! batch: FrameBatch, the argument of a stage's `process`.

use std::sync::Arc;

use pyfw_core::{
    frame::Frame as Row,
    stages::{
        chain::Call,
        state::{Place, Reason},
        verdicts::VerdictError,
    },
};
use pyo3::{
    exceptions::{PyIndexError, PyValueError},
    prelude::*,
    types::{PyDict, PyList, PyMemoryView, PyRange},
};

use super::{
    batch_access::{BatchAccess, index_error, peer_key},
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
    access: Arc<BatchAccess>,
    #[pyo3(get)]
    direction: &'static str,
    #[pyo3(get)]
    now_ns: u64,
}

impl FrameBatch {
    /// Returns the batch of a call; [`BatchAccess::begin`] gives it the call itself.
    pub(super) fn new(call: &Call, views: Arc<Views>) -> Self {
        Self {
            direction: call.verdicts.direction().name(),
            now_ns: call.stage_batch.batch.received_ns,
            access: Arc::new(BatchAccess::new(Arc::clone(&call.handle), views)),
        }
    }

    pub(super) fn access(&self) -> &BatchAccess {
        &self.access
    }

    fn verdict(
        &self,
        index: isize,
        body: impl FnOnce(&mut Call, usize) -> Result<(), VerdictError>,
    ) -> PyResult<()> {
        self.access
            .with_row(index, |call, row| body(call, row).map_err(|error| py_error(error, index)))
    }

    /// Returns a column of a field.
    fn column<'py, T>(&self, py: Python<'py>, field: impl Fn(&Row) -> T) -> Column<'py>
    where
        Numbers: From<Vec<T>>,
    {
        let numbers: Vec<T> =
            self.access.with(|call| Ok(call.verdicts.frames().map(field).collect()))?;
        column::view(py, numbers.into(), 1)
    }

    fn addresses<'py>(&self, py: Python<'py>, field: impl Fn(&Row) -> [u8; 16]) -> Column<'py> {
        let bytes: Vec<u8> =
            self.access.with(|call| Ok(call.verdicts.frames().flat_map(field).collect()))?;
        column::view(py, bytes.into(), 16)
    }
}

#[pymethods]
impl FrameBatch {
    fn __len__(&self) -> PyResult<usize> {
        self.access.with(|call| Ok(call.verdicts.len()))
    }

    fn __getitem__(slf: Bound<'_, Self>, index: isize) -> PyResult<Frame> {
        let row = slf.get().access.with_row(index, |_, row| Ok(row))?;
        Ok(Frame::new(Arc::clone(&slf.get().access), row))
    }

    fn __iter__<'py>(slf: Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let count = slf.get().__len__()?;
        let frames = (0..count).map(|row| Frame::new(Arc::clone(&slf.get().access), row));
        PyList::new(
            slf.py(),
            frames.map(|f| Bound::new(slf.py(), f)).collect::<PyResult<Vec<_>>>()?,
        )?
        .call_method0("__iter__")
    }

    #[getter]
    fn version<'py>(&self, py: Python<'py>) -> Column<'py> {
        self.column(py, |row| row.version)
    }

    #[getter]
    fn protocol<'py>(&self, py: Python<'py>) -> Column<'py> {
        self.column(py, |row| row.protocol)
    }

    #[getter]
    fn src_port<'py>(&self, py: Python<'py>) -> Column<'py> {
        self.column(py, |row| row.source_port)
    }

    #[getter]
    fn dst_port<'py>(&self, py: Python<'py>) -> Column<'py> {
        self.column(py, |row| row.destination_port)
    }

    #[getter]
    fn length<'py>(&self, py: Python<'py>) -> Column<'py> {
        self.column(py, |row| row.length)
    }

    #[getter]
    fn segments<'py>(&self, py: Python<'py>) -> Column<'py> {
        self.column(py, |row| row.segments)
    }

    #[getter]
    fn segment_size<'py>(&self, py: Python<'py>) -> Column<'py> {
        self.column(py, |row| row.segment_size)
    }

    #[getter]
    fn tcp_flags<'py>(&self, py: Python<'py>) -> Column<'py> {
        self.column(py, |row| row.tcp_flags)
    }

    #[getter]
    fn ecn<'py>(&self, py: Python<'py>) -> Column<'py> {
        self.column(py, |row| row.ds & 0b11)
    }

    #[getter]
    fn dscp<'py>(&self, py: Python<'py>) -> Column<'py> {
        self.column(py, |row| row.ds >> 2)
    }

    #[getter]
    fn flow<'py>(&self, py: Python<'py>) -> Column<'py> {
        self.column(py, |row| row.flow())
    }

    #[getter]
    fn peer<'py>(&self, py: Python<'py>) -> Column<'py> {
        self.column(py, |row| row.peer)
    }

    #[getter]
    fn marks<'py>(&self, py: Python<'py>) -> Column<'py> {
        self.column(py, |row| row.mark)
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
        self.column(py, |_| self.now_ns)
    }

    fn peer_key(&self, number: u32) -> PyResult<Option<String>> {
        self.access.peer_key(number)
    }

    #[pyo3(signature = (**filter))]
    fn r#where(&self, filter: Option<Bound<'_, PyDict>>) -> PyResult<Vec<usize>> {
        // Outside the lock: compiling a filter runs Python.
        let filter = filter.as_ref().map(filter_args::filter).transpose()?.unwrap_or_default();
        self.access.with(|call| {
            let Call { stage_batch, verdicts, peers, .. } = call;
            let matches = |row: &usize| {
                verdicts.matches(
                    *row,
                    &filter,
                    &stage_batch.buffer,
                    &stage_batch.batch.slices,
                    peers,
                )
            };
            Ok((0..verdicts.len()).filter(matches).collect())
        })
    }

    fn data<'py>(&self, py: Python<'py>, index: isize) -> PyResult<Bound<'py, PyMemoryView>> {
        self.access.data(py, index)
    }

    #[pyo3(signature = (index, reason = "dropped"))]
    fn drop(&self, index: isize, reason: &str) -> PyResult<()> {
        let reason = self.access.handle.state().reason(reason).ok_or_else(|| {
            PyValueError::new_err(format!(
                "invalid reason {reason:?}: expected 1 to 64 letters, digits or \"_\", and at most 64 \
                 reasons per stage"
            ))
        })?;
        self.verdict(index, |call, row| call.verdicts.drop(row, reason))
    }

    fn answer(&self, index: isize, packet: &Bound<'_, PyAny>) -> PyResult<()> {
        with_bytes(packet, |bytes| {
            self.verdict(index, |call, row| call.verdicts.answer(row, bytes))
        })
    }

    fn replace(&self, index: isize, packet: &Bound<'_, PyAny>) -> PyResult<()> {
        with_bytes(packet, |bytes| {
            self.verdict(index, |call, row| call.verdicts.replace(row, bytes))
        })
    }

    fn insert(&self, index: isize, packet: &Bound<'_, PyAny>) -> PyResult<()> {
        with_bytes(packet, |bytes| {
            self.access.with(|call| {
                let count = call.verdicts.len();
                match usize::try_from(index) {
                    Ok(row) if row <= count => {
                        call.verdicts.insert(row, bytes).map_err(|error| py_error(error, index))
                    }
                    _ => Err(index_error(index, count + 1)),
                }
            })
        })
    }

    fn hold(&self, index: isize) -> PyResult<Option<HeldFrame>> {
        self.access.with_row(index, |call, row| {
            let Call { stage_batch, verdicts, number, peers, handle } = call;
            let state = handle.state();
            let length = verdicts.frame(row).map_or(0, |frame| frame.length as usize);
            if !state.may_hold(length) {
                let dropped = verdicts.drop(row, Reason::HOLD_OVERFLOW);
                return dropped.map(|()| None).map_err(|error| py_error(error, index));
            }
            let (frame, bytes) = verdicts
                .hold(row, &stage_batch.buffer, &stage_batch.batch.slices)
                .map_err(|error| py_error(error, index))?;
            let place = Place { call: *number, row: row as u32, position: verdicts.position(row) };
            let peer = peer_key(peers, frame.peer);
            let held = state.hold(verdicts.direction(), frame, bytes, self.now_ns, place);
            Ok(Some(HeldFrame::new(held, Arc::clone(handle), peer)))
        })
    }

    fn split<'py>(&self, py: Python<'py>, index: isize) -> PyResult<Bound<'py, PyRange>> {
        let rows = self.access.with_row(index, |call, row| {
            let Call { stage_batch, verdicts, .. } = call;
            verdicts
                .split(row, &stage_batch.buffer, &stage_batch.batch.slices)
                .map_err(|error| py_error(error, index))
        })?;
        PyRange::new(py, rows.start as isize, rows.end as isize)
    }

    fn mark(&self, index: isize, value: u32) -> PyResult<()> {
        self.verdict(index, |call, row| call.verdicts.mark(row, value))
    }

    fn set_ecn(&self, index: isize, ecn: u8) -> PyResult<()> {
        if ecn > 3 {
            return Err(PyValueError::new_err(format!("ecn is {ecn}, must be 0 to 3")));
        }
        self.verdict(index, |call, row| call.verdicts.set_ecn(row, ecn))
    }
}

fn py_error(error: VerdictError, index: isize) -> PyErr {
    match error {
        VerdictError::NoSuchRow => PyIndexError::new_err(format!("there is no frame {index}")),
        VerdictError::AlreadyDecided => {
            PyValueError::new_err(format!("frame {index} was dropped, held or split before"))
        }
        VerdictError::InvalidPacket(error) => PyValueError::new_err(error.text()),
    }
}
