//! column: numbers of one type, one or more per row, that memoryview and numpy read in place, also after the
//! batch.

use std::ffi::{CStr, c_int};

use pyo3::{exceptions::PyBufferError, ffi, prelude::*, types::PyMemoryView};

/// A read-only buffer of numbers.
#[pyclass(frozen, module = "pyfw._native")]
pub(super) struct Column {
    numbers: Numbers,
    /// Rows, and numbers per row.
    shape: [ffi::Py_ssize_t; 2],
    strides: [ffi::Py_ssize_t; 2],
    dimensions: c_int,
}

/// Numbers of one of the types that columns have.
pub(super) enum Numbers {
    U8(Vec<u8>),
    U16(Vec<u16>),
    U32(Vec<u32>),
    U64(Vec<u64>),
}

impl From<Vec<u8>> for Numbers {
    fn from(numbers: Vec<u8>) -> Self {
        Self::U8(numbers)
    }
}

impl From<Vec<u16>> for Numbers {
    fn from(numbers: Vec<u16>) -> Self {
        Self::U16(numbers)
    }
}

impl From<Vec<u32>> for Numbers {
    fn from(numbers: Vec<u32>) -> Self {
        Self::U32(numbers)
    }
}

impl From<Vec<u64>> for Numbers {
    fn from(numbers: Vec<u64>) -> Self {
        Self::U64(numbers)
    }
}

impl Numbers {
    /// Returns the type's code in Python's `struct` module.
    fn format(&self) -> &'static CStr {
        match self {
            Self::U8(_) => c"B",
            Self::U16(_) => c"H",
            Self::U32(_) => c"I",
            Self::U64(_) => c"Q",
        }
    }

    /// Returns the address of the first number, how many there are, and the size of each.
    fn memory(&self) -> (*const u8, usize, usize) {
        match self {
            Self::U8(numbers) => (numbers.as_ptr(), numbers.len(), 1),
            Self::U16(numbers) => (numbers.as_ptr().cast(), numbers.len(), 2),
            Self::U32(numbers) => (numbers.as_ptr().cast(), numbers.len(), 4),
            Self::U64(numbers) => (numbers.as_ptr().cast(), numbers.len(), 8),
        }
    }
}

/// Returns a memoryview of numbers, `width` per row.
pub(super) fn view(
    py: Python<'_>,
    numbers: Numbers,
    width: usize,
) -> PyResult<Bound<'_, PyMemoryView>> {
    let (_, count, size) = numbers.memory();
    let size = size as ffi::Py_ssize_t;
    let (width, dimensions) = (width as ffi::Py_ssize_t, if width == 1 { 1 } else { 2 });
    let column = Column {
        numbers,
        shape: [count as ffi::Py_ssize_t / width, width],
        strides: [size * width, size],
        dimensions,
    };
    PyMemoryView::from(Bound::new(py, column)?.as_any())
}

#[pymethods]
impl Column {
    /// # Safety
    /// Python calls this with a view to fill in.
    unsafe fn __getbuffer__(
        slf: Bound<'_, Self>,
        view: *mut ffi::Py_buffer,
        flags: c_int,
    ) -> PyResult<()> {
        if flags & ffi::PyBUF_WRITABLE != 0 {
            return Err(PyBufferError::new_err("columns are read-only"));
        }
        let column = slf.get();
        let (start, count, size) = column.numbers.memory();
        // SAFETY: `view` is Python's, to be filled in. What it points to lives as long as the column, which
        // the view owns from here on, and never changes or moves.
        unsafe {
            (*view).buf = start.cast_mut().cast();
            (*view).len = (count * size) as ffi::Py_ssize_t;
            (*view).itemsize = size as ffi::Py_ssize_t;
            (*view).readonly = 1;
            (*view).format = if flags & ffi::PyBUF_FORMAT != 0 {
                column.numbers.format().as_ptr().cast_mut()
            } else {
                std::ptr::null_mut()
            };
            (*view).ndim = column.dimensions;
            (*view).shape = column.shape.as_ptr().cast_mut();
            (*view).strides = column.strides.as_ptr().cast_mut();
            (*view).suboffsets = std::ptr::null_mut();
            (*view).internal = std::ptr::null_mut();
            (*view).obj = slf.into_ptr();
        }
        Ok(())
    }
}
