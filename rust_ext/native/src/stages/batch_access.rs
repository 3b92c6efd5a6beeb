//! batch_access: what a batch and its frames share: the call that they belong to, until it returns.

use std::{
    borrow::Cow,
    sync::{Arc, Mutex, MutexGuard},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use pyfw_core::{
    frame::NO_PEER,
    stages::{
        chain::{Call, StageHandle},
        filter::PeerKeys,
    },
    sync,
    wireguard::peer::PeerId,
};
use pyo3::{
    exceptions::{PyIndexError, PyRuntimeError},
    prelude::*,
    types::PyMemoryView,
};

use super::views::{Views, view};

/// Access to a call's batch and verdicts while the call lasts; afterwards every access raises.
pub(super) struct BatchAccess {
    call: Mutex<Option<Call>>,
    pub(super) handle: Arc<StageHandle>,
    views: Arc<Views>,
}

impl BatchAccess {
    /// Returns an access without a call; see [`Self::begin`].
    pub(super) fn new(handle: Arc<StageHandle>, views: Arc<Views>) -> Self {
        Self { call: Mutex::new(None), handle, views }
    }

    pub(super) fn begin(&self, call: Call) {
        *self.lock() = Some(call);
    }

    /// Ends access and returns the call.
    pub(super) fn end(&self) -> Option<Call> {
        let call = self.lock().take();
        if let Some(call) = &call {
            self.views.end_of_batch(&call.stage_batch.buffer);
        }
        call
    }

    fn lock(&self) -> MutexGuard<'_, Option<Call>> {
        sync::lock(&self.call)
    }

    /// Runs `body` with the call. Raises RuntimeError once the call has returned.
    pub(super) fn with<T>(&self, body: impl FnOnce(&mut Call) -> PyResult<T>) -> PyResult<T> {
        match &mut *self.lock() {
            Some(call) => body(call),
            None => Err(PyRuntimeError::new_err(
                "the batch is over: process() has returned; copy what you need later",
            )),
        }
    }

    /// Runs `body` with the call and a row. Raises IndexError if there is no such row.
    pub(super) fn with_row<T>(
        &self,
        index: isize,
        body: impl FnOnce(&mut Call, usize) -> PyResult<T>,
    ) -> PyResult<T> {
        self.with(|call| match usize::try_from(index) {
            Ok(row) if row < call.verdicts.len() => body(call, row),
            _ => Err(index_error(index, call.verdicts.len())),
        })
    }

    /// Returns the public key of a peer.
    pub(super) fn peer_key(&self, peer: u32) -> PyResult<Option<String>> {
        self.with(|call| Ok(peer_key(&call.peers, peer)))
    }

    /// Returns a row's bytes.
    pub(super) fn data<'py>(
        &self,
        py: Python<'py>,
        index: isize,
    ) -> PyResult<Bound<'py, PyMemoryView>> {
        let source = self.with_row(index, |call, row| {
            let Call { stage_batch, verdicts, .. } = call;
            match verdicts.bytes(row, &stage_batch.buffer, &stage_batch.batch.slices) {
                Some(Cow::Borrowed(bytes)) => {
                    let buffer = stage_batch.buffer.as_ptr_range();
                    if buffer.contains(&bytes.as_ptr()) {
                        let start = bytes.as_ptr() as usize - buffer.start as usize;
                        return self.views.drain(&stage_batch.buffer, start, bytes.len());
                    }
                    self.views.copy(bytes.to_vec())
                }
                Some(Cow::Owned(bytes)) => self.views.copy(bytes),
                None => Err(index_error(index, verdicts.len())),
            }
        })?;
        view(py, source)
    }
}

/// Returns the public key of a peer in base64.
pub(super) fn peer_key(peers: &PeerKeys, peer: u32) -> Option<String> {
    let key = peers.get(&PeerId(peer)).filter(|_| peer != NO_PEER);
    key.map(|key| STANDARD.encode(key))
}

pub(super) fn index_error(index: isize, count: usize) -> PyErr {
    PyIndexError::new_err(match count {
        0 => format!("index {index}: the batch is empty"),
        _ => format!("index {index} is not 0 to {}", count - 1),
    })
}
