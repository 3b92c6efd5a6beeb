//! A frame's bytes as Python reads them, and how many of them a stage may keep.
//!
//! In: a place in a drain's buffer, or gathered bytes. Out: a read-only buffer that never changes: a
//! drain's buffer that is still read is retired by its path, not written over. Drops: nothing; what
//! would go beyond the bound is refused.

use std::{
    ffi::c_int,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
};

use pyfw_core::{buffer::Buffer, sync};
use pyo3::{exceptions::PyBufferError, ffi, prelude::*, types::PyMemoryView};

/// Bytes of buffers that views kept by stages may hold in all, for one tunnel.
const KEPT_BYTES_MAX: usize = 16 << 20;

/// The views of one chain's stages.
#[derive(Default)]
pub(super) struct Views {
    /// Buffers that were still read when their batch was over.
    retired: Mutex<Vec<Weak<Box<[u8]>>>>,
    /// Bytes that were gathered for views which still exist.
    gathered: AtomicUsize,
    kept: AtomicU64,
}

/// What a view reads.
pub(super) enum Source {
    Drain { bytes: Arc<Box<[u8]>>, start: usize, length: usize },
    Gathered(Gathered),
}

/// Bytes that were gathered, and who counts them.
pub(super) struct Gathered {
    bytes: Vec<u8>,
    views: Arc<Views>,
}

/// See the module.
#[pyclass(frozen, module = "pyfw._native")]
pub(super) struct Export(Source);

impl Views {
    /// What a view of bytes in a drain's buffer reads.
    pub(super) fn of_drain(
        &self,
        buffer: &Buffer,
        start: usize,
        length: usize,
    ) -> PyResult<Source> {
        self.check()?;
        let Some(bytes) = buffer.share() else {
            return Err(PyBufferError::new_err("the batch has no buffer"));
        };
        Ok(Source::Drain { bytes, start, length })
    }

    /// What a view of bytes that were gathered reads.
    pub(super) fn of_gathered(self: &Arc<Self>, bytes: Vec<u8>) -> PyResult<Source> {
        self.check()?;
        self.gathered.fetch_add(bytes.len(), Relaxed);
        Ok(Source::Gathered(Gathered { bytes, views: Arc::clone(self) }))
    }

    fn check(&self) -> PyResult<()> {
        let held = self.gathered.load(Relaxed) + self.retired_bytes();
        if held < KEPT_BYTES_MAX {
            return Ok(());
        }
        Err(PyBufferError::new_err(format!(
            "views of frames that were kept fill {held} B, of at most {KEPT_BYTES_MAX}: copy with \
             bytes() what is to be kept, and let the view go"
        )))
    }

    fn retired_bytes(&self) -> usize {
        let mut retired = sync::lock(&self.retired);
        if retired.is_empty() {
            return 0;
        }
        retired.retain(|buffer| buffer.strong_count() != 0);
        retired.iter().filter_map(Weak::upgrade).map(|buffer| buffer.len()).sum()
    }

    /// The batch is over: notes whether somebody still reads its buffer.
    pub(super) fn end_of_batch(&self, buffer: &Buffer) {
        let Some(bytes) = buffer.share() else { return };
        // The path's own, and this one.
        if Arc::strong_count(&bytes) <= 2 {
            return;
        }
        let mut retired = sync::lock(&self.retired);
        let this = Arc::downgrade(&bytes);
        if !retired.iter().any(|known| known.ptr_eq(&this)) {
            retired.push(this);
            self.kept.fetch_add(1, Relaxed);
        }
    }

    /// Buffers that were retired because a view was kept.
    pub(super) fn kept(&self) -> u64 {
        self.kept.load(Relaxed)
    }
}

impl Drop for Gathered {
    fn drop(&mut self) {
        self.views.gathered.fetch_sub(self.bytes.len(), Relaxed);
    }
}

/// A view. Not to be made under a lock: making an object of Python's may run code of the stage's, which
/// may ask for the same one.
pub(super) fn view(py: Python<'_>, source: Source) -> PyResult<Bound<'_, PyMemoryView>> {
    PyMemoryView::from(Bound::new(py, Export(source))?.as_any())
}

#[pymethods]
impl Export {
    /// # Safety
    /// Called by Python with a view that is to be filled.
    unsafe fn __getbuffer__(
        slf: Bound<'_, Self>,
        view: *mut ffi::Py_buffer,
        flags: c_int,
    ) -> PyResult<()> {
        let bytes = match &slf.get().0 {
            Source::Drain { bytes, start, length } => &bytes[*start..*start + *length],
            Source::Gathered(gathered) => &gathered.bytes[..],
        };
        let (start, length) = (bytes.as_ptr().cast_mut().cast(), bytes.len() as ffi::Py_ssize_t);
        let py = slf.py();
        // SAFETY: `view` is Python's to be filled. The bytes live as long as the export, which the view
        // owns; nobody writes to them meanwhile, as a buffer that is shared is not written.
        let filled = unsafe { ffi::PyBuffer_FillInfo(view, slf.as_ptr(), start, length, 1, flags) };
        if filled == 0 { Ok(()) } else { Err(PyErr::fetch(py)) }
    }
}
