//! views: read-only memoryviews of a frame's bytes, and a bound on the memory that they keep alive.
//!
//! A view shows the same bytes forever: a drain's buffer that a view still references is retired by its path,
//! not reused.

use std::{
    ffi::c_int,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
};

use pyfw_core::{buffer::Buffer, sync};
use pyo3::{exceptions::PyBufferError, ffi, prelude::*, types::PyMemoryView};

/// Bytes that the views of one tunnel's stages may keep alive.
const BYTES_MAX: usize = 16 << 20;

/// Accounts for the views of one chain's stages.
#[derive(Default)]
pub(super) struct Views {
    /// Buffers that a view still referenced at the end of their batch.
    retired: Mutex<Vec<Weak<Box<[u8]>>>>,
    /// Number of buffers that were ever retired.
    retired_count: AtomicU64,
    /// Bytes of copies that views reference.
    copied_bytes: AtomicUsize,
}

/// What a view reads.
pub(super) enum Source {
    /// A part of a drain's buffer.
    Drain { bytes: Arc<Box<[u8]>>, start: usize, length: usize },
    /// A copy.
    Copy(CountedBytes),
}

/// Bytes that count towards the bound as long as they exist.
pub(super) struct CountedBytes {
    bytes: Vec<u8>,
    views: Arc<Views>,
}

/// The object behind a memoryview of a frame's bytes.
#[pyclass(frozen, module = "pyfw._native")]
pub(super) struct FrameBytes(Source);

impl Views {
    /// Returns the source of a view into a drain's buffer.
    ///
    /// # Errors
    /// If the bound is reached.
    pub(super) fn drain(&self, buffer: &Buffer, start: usize, length: usize) -> PyResult<Source> {
        self.check_limit()?;
        let Some(bytes) = buffer.share() else {
            return Err(PyBufferError::new_err("the batch has no buffer"));
        };
        Ok(Source::Drain { bytes, start, length })
    }

    /// Returns the source of a view of copied bytes.
    ///
    /// # Errors
    /// If the bound is reached.
    pub(super) fn copy(self: &Arc<Self>, bytes: Vec<u8>) -> PyResult<Source> {
        self.check_limit()?;
        self.copied_bytes.fetch_add(bytes.len(), Relaxed);
        Ok(Source::Copy(CountedBytes { bytes, views: Arc::clone(self) }))
    }

    fn check_limit(&self) -> PyResult<()> {
        let bytes = self.copied_bytes.load(Relaxed) + self.retired_bytes();
        if bytes < BYTES_MAX {
            return Ok(());
        }
        Err(PyBufferError::new_err(format!(
            "frame views that stages keep occupy {bytes} B, the limit is {BYTES_MAX} B; keep a copy made \
             with bytes() instead of the view"
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

    /// Records at the end of a batch whether a view still references its buffer.
    pub(super) fn end_of_batch(&self, buffer: &Buffer) {
        let Some(bytes) = buffer.share() else { return };
        // The path's reference, and the one above.
        if Arc::strong_count(&bytes) <= 2 {
            return;
        }
        let mut retired = sync::lock(&self.retired);
        let this = Arc::downgrade(&bytes);
        if !retired.iter().any(|known| known.ptr_eq(&this)) {
            retired.push(this);
            self.retired_count.fetch_add(1, Relaxed);
        }
    }

    /// Returns the number of buffers that were retired because a stage kept a view.
    pub(super) fn retired_count(&self) -> u64 {
        self.retired_count.load(Relaxed)
    }
}

impl Drop for CountedBytes {
    fn drop(&mut self) {
        self.views.copied_bytes.fetch_sub(self.bytes.len(), Relaxed);
    }
}

/// Creates a memoryview. Not to be called under a lock: creating a Python object may run a garbage
/// collection, and with it code of the stage that takes the same lock.
pub(super) fn view(py: Python<'_>, source: Source) -> PyResult<Bound<'_, PyMemoryView>> {
    PyMemoryView::from(Bound::new(py, FrameBytes(source))?.as_any())
}

#[pymethods]
impl FrameBytes {
    /// # Safety
    /// Python calls this with a view to fill in.
    unsafe fn __getbuffer__(
        slf: Bound<'_, Self>,
        view: *mut ffi::Py_buffer,
        flags: c_int,
    ) -> PyResult<()> {
        let bytes = match &slf.get().0 {
            Source::Drain { bytes, start, length } => &bytes[*start..*start + *length],
            Source::Copy(copy) => &copy.bytes[..],
        };
        let (start, length) = (bytes.as_ptr().cast_mut().cast(), bytes.len() as ffi::Py_ssize_t);
        let py = slf.py();
        // SAFETY: `view` is Python's, to be filled in. The bytes live as long as this object, which the view
        // owns, and nobody writes to them, because a shared buffer is never written.
        let filled = unsafe { ffi::PyBuffer_FillInfo(view, slf.as_ptr(), start, length, 1, flags) };
        if filled == 0 { Ok(()) } else { Err(PyErr::fetch(py)) }
    }
}
