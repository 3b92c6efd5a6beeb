//! Counts by name.

use std::collections::BTreeMap;

use pyo3::{prelude::*, types::PyDict};

/// Fields as they are, and under "drops" the reasons that occurred.
pub(crate) fn named<'py>(
    py: Python<'py>,
    fields: Vec<(&'static str, u64)>,
    drops: impl Iterator<Item = (&'static str, u64)>,
) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for (name, count) in fields {
        dict.set_item(name, count)?;
    }
    dict.set_item("drops", drops.filter(|(_, n)| *n != 0).collect::<BTreeMap<_, _>>())?;
    Ok(dict)
}
