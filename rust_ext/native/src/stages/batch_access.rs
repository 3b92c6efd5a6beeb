//! What a batch and its frames show while a call lasts: the work on stage_batch, or that it is over.
//!
//! In: the work, when the call begins. Out: the same, when it ends; from then on every look raises.

use std::{
    borrow::Cow,
    sync::{Arc, Mutex, MutexGuard},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use pyfw_core::{
    frame::NO_PEER,
    stages::{
        chain::{Call, StageHandle},
        filter::PeerNames,
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

/// See the module.
pub(super) struct BatchAccess {
    work: Mutex<Option<Call>>,
    pub(super) handle: Arc<StageHandle>,
    views: Arc<Views>,
}

impl BatchAccess {
    /// Nothing yet of `work`, which is still to be given.
    pub(super) fn of(work: &Call, views: Arc<Views>) -> Self {
        Self { work: Mutex::new(None), handle: Arc::clone(&work.handle), views }
    }

    pub(super) fn begin(&self, work: Call) {
        *self.held() = Some(work);
    }

    /// Ends it: takes the batch back.
    pub(super) fn end(&self) -> Option<Call> {
        let work = self.held().take();
        if let Some(work) = &work {
            self.views.end_of_batch(&work.stage_batch.buffer);
        }
        work
    }

    fn held(&self) -> MutexGuard<'_, Option<Call>> {
        sync::lock(&self.work)
    }

    pub(super) fn with<T>(&self, body: impl FnOnce(&mut Call) -> PyResult<T>) -> PyResult<T> {
        match &mut *self.held() {
            Some(work) => body(work),
            None => Err(PyRuntimeError::new_err(
                "the batch is over: process() has returned; copy what is to be kept",
            )),
        }
    }

    /// Runs with a row that exists.
    pub(super) fn row<T>(
        &self,
        index: isize,
        body: impl FnOnce(&mut Call, usize) -> PyResult<T>,
    ) -> PyResult<T> {
        self.with(|work| match usize::try_from(index) {
            Ok(row) if row < work.verdicts.len() => body(work, row),
            _ => Err(no_row(index, work.verdicts.len())),
        })
    }

    /// The public key of a peer's number.
    pub(super) fn peer_key(&self, number: u32) -> PyResult<Option<String>> {
        self.with(|work| Ok(key_of(&work.peers, number)))
    }

    /// A row's bytes.
    pub(super) fn data<'py>(
        &self,
        py: Python<'py>,
        index: isize,
    ) -> PyResult<Bound<'py, PyMemoryView>> {
        let source = self.row(index, |work, row| {
            let Call { stage_batch, verdicts, .. } = work;
            match verdicts.bytes(row, &stage_batch.buffer, &stage_batch.batch.slices) {
                Some(Cow::Borrowed(bytes)) => {
                    let start = stage_batch.buffer.as_ptr_range();
                    if start.contains(&bytes.as_ptr()) {
                        let at = bytes.as_ptr() as usize - start.start as usize;
                        return self.views.of_drain(&stage_batch.buffer, at, bytes.len());
                    }
                    self.views.of_gathered(bytes.to_vec())
                }
                Some(Cow::Owned(bytes)) => self.views.of_gathered(bytes),
                None => Err(no_row(index, verdicts.len())),
            }
        })?;
        view(py, source)
    }
}

/// The public key of a peer, in base64.
pub(super) fn key_of(peers: &PeerNames, number: u32) -> Option<String> {
    let key = peers.get(&PeerId(number)).filter(|_| number != NO_PEER);
    key.map(|key| STANDARD.encode(key))
}

pub(super) fn no_row(index: isize, count: usize) -> PyErr {
    PyIndexError::new_err(match count {
        0 => format!("index {index}: the batch is empty"),
        _ => format!("index {index} is not 0 to {}", count - 1),
    })
}
