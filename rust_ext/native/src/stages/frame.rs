//! frame: one row of a batch, field by field, for code that looks at few frames.

use std::sync::Arc;

use pyfw_core::{frame::Frame as Row, packet, stages::chain::Call};
use pyo3::{prelude::*, types::PyMemoryView};

use super::{
    batch_access::{BatchAccess, index_error},
    packet::to_scapy,
};

/// See `_native.pyi`.
#[pyclass(frozen, module = "pyfw._native")]
pub(crate) struct Frame {
    access: Arc<BatchAccess>,
    row: usize,
}

impl Frame {
    pub(super) fn new(access: Arc<BatchAccess>, row: usize) -> Self {
        Self { access, row }
    }

    /// Reads a field.
    fn get<T>(&self, field: impl FnOnce(&Row) -> T) -> PyResult<T> {
        self.access.with_row(self.row as isize, |call, row| {
            let frame = call.verdicts.frame(row).map(field);
            frame.ok_or_else(|| index_error(row as isize, call.verdicts.len()))
        })
    }
}

#[pymethods]
impl Frame {
    #[getter]
    fn version(&self) -> PyResult<u8> {
        self.get(|row| row.version)
    }

    #[getter]
    fn source(&self) -> PyResult<String> {
        self.get(|row| row.source_ip().to_string())
    }

    #[getter]
    fn destination(&self) -> PyResult<String> {
        self.get(|row| row.destination_ip().to_string())
    }

    #[getter]
    fn protocol(&self) -> PyResult<u8> {
        self.get(|row| row.protocol)
    }

    #[getter]
    fn src_port(&self) -> PyResult<u16> {
        self.get(|row| row.source_port)
    }

    #[getter]
    fn dst_port(&self) -> PyResult<u16> {
        self.get(|row| row.destination_port)
    }

    #[getter]
    fn length(&self) -> PyResult<u32> {
        self.get(|row| row.length)
    }

    #[getter]
    fn segments(&self) -> PyResult<u16> {
        self.get(|row| row.segments)
    }

    #[getter]
    fn segment_size(&self) -> PyResult<u16> {
        self.get(|row| row.segment_size)
    }

    #[getter]
    fn tcp_flags(&self) -> PyResult<u8> {
        self.get(|row| row.tcp_flags)
    }

    #[getter]
    fn ecn(&self) -> PyResult<u8> {
        self.get(|row| row.ds & 0b11)
    }

    #[getter]
    fn dscp(&self) -> PyResult<u8> {
        self.get(|row| row.ds >> 2)
    }

    #[getter]
    fn flow(&self) -> PyResult<u64> {
        self.get(|row| row.flow())
    }

    #[getter]
    fn mark(&self) -> PyResult<u32> {
        self.get(|row| row.mark)
    }

    #[getter]
    fn peer(&self) -> PyResult<Option<String>> {
        let peer = self.get(|row| row.peer)?;
        self.access.peer_key(peer)
    }

    #[getter]
    fn data<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyMemoryView>> {
        self.access.data(py, self.row as isize)
    }

    fn to_scapy<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let bytes = self.access.with_row(self.row as isize, |call, row| {
            let Call { stage_batch, verdicts, .. } = call;
            let bytes = verdicts.bytes(row, &stage_batch.buffer, &stage_batch.batch.slices);
            Ok(bytes.map(std::borrow::Cow::into_owned).unwrap_or_default())
        })?;
        to_scapy(py, &bytes)
    }

    fn __repr__(&self) -> PyResult<String> {
        self.get(|row| {
            let protocol = match row.protocol {
                packet::tcp::PROTOCOL => "tcp".to_owned(),
                packet::udp::PROTOCOL => "udp".to_owned(),
                other => format!("protocol {other}"),
            };
            format!("<Frame {protocol}, {} segments, {} B>", row.segments, row.length)
        })
    }
}
