//! pyfw._native
use pyo3::pymodule;

/// Native code of pyfw.
#[pymodule]
mod _native {}
