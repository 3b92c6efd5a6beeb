//! The stage gso_egress alone, for tests and experiments: push datagrams, drain batches.

use std::net::SocketAddr;

use pyfw_core::{
    outbound::{
        gso_batch::{Target, send_limit},
        gso_egress::GsoEgress as Egress,
    },
    wireguard::{path::Path, peer::PeerId},
};
use pyo3::{exceptions::PyBufferError, prelude::*, types::PyBytes};

use crate::convert::{socket_address, value_error};

/// The most batches between two drains.
const BUFFERS: usize = 256;

/// The ordered list of GSO batches.
#[pyclass(module = "pyfw.stages")]
pub(crate) struct GsoEgress {
    egress: Egress,
    /// Source addresses by peer number: to the list, each source is a peer.
    sources: Vec<SocketAddr>,
}

/// The datagrams of one send.
#[pyclass(frozen, get_all, module = "pyfw.stages")]
pub(crate) struct GsoBatch {
    source: String,
    destination: String,
    ecn: u8,
    segment_size: usize,
    lengths: Vec<usize>,
    payload: Py<PyBytes>,
}

#[pymethods]
impl GsoBatch {
    fn __repr__(&self) -> String {
        let Self { source, destination, ecn, lengths, .. } = self;
        format!("GsoBatch({source} > {destination}, ecn={ecn}, lengths={lengths:?})")
    }
}

#[pymethods]
impl GsoEgress {
    #[new]
    #[pyo3(signature = (*, max_segments = 64))]
    fn new(max_segments: usize) -> PyResult<Self> {
        if !(1..=128).contains(&max_segments) {
            return Err(value_error(format!("max_segments is {max_segments}, must be 1 to 128")));
        }
        Ok(Self { egress: Egress::new(max_segments, BUFFERS), sources: Vec::new() })
    }

    #[pyo3(signature = (source, destination, payload, ecn = 0))]
    fn push(&mut self, source: &str, destination: &str, payload: &[u8], ecn: u8) -> PyResult<()> {
        if ecn > 3 {
            return Err(value_error(format!("ecn is {ecn}, must be 0 to 3")));
        }
        let (source, destination) = (socket_address(source)?, socket_address(destination)?);
        if source.is_ipv4() != destination.is_ipv4() {
            return Err(value_error(format!("{source} cannot send to {destination}")));
        }
        let limit = send_limit(&destination);
        if !(1..=limit).contains(&payload.len()) {
            let length = payload.len();
            return Err(value_error(format!("payload has {length} bytes, must have 1 to {limit}")));
        }
        let position = self.sources.iter().position(|s| *s == source);
        let number = position.unwrap_or_else(|| {
            self.sources.push(source);
            self.sources.len() - 1
        });
        let target = Target { peer: PeerId(number as u32), path: Path::to(destination), ds: ecn };
        let Some(mut reservation) = self.egress.reserve(&target, payload.len()) else {
            return Err(PyBufferError::new_err(format!(
                "{BUFFERS} batches are waiting: call drain()"
            )));
        };
        reservation.bytes().copy_from_slice(payload);
        reservation.commit(0, payload.len(), 0);
        Ok(())
    }

    fn drain(&mut self, py: Python<'_>) -> Vec<GsoBatch> {
        let batches = self
            .egress
            .batches()
            .map(|(batch, payload)| GsoBatch {
                source: self.sources[batch.target().peer.0 as usize].to_string(),
                destination: batch.target().path.destination.to_string(),
                ecn: batch.target().ds,
                segment_size: batch.segment_size(),
                lengths: batch.lengths().collect(),
                payload: PyBytes::new(py, payload).unbind(),
            })
            .collect();
        while self.egress.complete(usize::MAX).is_some() {}
        batches
    }
}
