//! Snapshots for Python: read-only structs with fixed, documented fields.

use pyo3::{
    prelude::*,
    types::{PyBytes, PyDict},
};

/// Defines a frozen Python class with an attribute for each field, `to_dict` and a `repr`. The comments of
/// the fields are their docstrings in Python. `to_dict` has no key for the field that it omits if `None`.
macro_rules! report {
    (
        $(#[$outer:meta])* $name:ident { $($(#[$doc:meta])* $field:ident: $type:ty),+ $(,)? }
        $(omits $optional:ident if None)?
    ) => {
        $(#[$outer])*
        #[pyo3::pyclass(frozen, get_all, module = "pyfw._native")]
        pub(crate) struct $name { $($(#[$doc])* pub(crate) $field: $type,)+ }

        #[pyo3::pymethods]
        impl $name {
            /// Returns the fields as a dictionary, nested structs as dictionaries too.
            fn to_dict<'py>(
                slf: &pyo3::Bound<'py, Self>,
            ) -> pyo3::PyResult<pyo3::Bound<'py, pyo3::types::PyDict>> {
                let optional: &[&str] = &[$(stringify!($optional))?];
                $crate::report::to_dict(slf, &[$(stringify!($field)),+], optional)
            }

            fn __repr__(slf: &pyo3::Bound<'_, Self>) -> pyo3::PyResult<String> {
                $crate::report::repr(slf, stringify!($name), &[$(stringify!($field)),+])
            }
        }
    };
}
pub(crate) use report;

/// Returns the fields of a report by name, without those of `optional` that are `None`.
pub(crate) fn to_dict<'py>(
    report: &Bound<'py, PyAny>,
    fields: &[&str],
    optional: &[&str],
) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(report.py());
    for field in fields {
        let value = report.getattr(*field)?;
        if !(value.is_none() && optional.contains(field)) {
            dict.set_item(field, plain(value)?)?;
        }
    }
    Ok(dict)
}

/// Returns "NAME(FIELD=VALUE, …)". Bytes are keys: they are not shown.
pub(crate) fn repr(report: &Bound<'_, PyAny>, name: &str, fields: &[&str]) -> PyResult<String> {
    let fields = fields.iter().map(|field| {
        let value = report.getattr(*field)?;
        let is_key = value.is_instance_of::<PyBytes>();
        let text = if is_key { "(hidden)".into() } else { value.repr()?.to_string() };
        Ok(format!("{field}={text}"))
    });
    Ok(format!("{name}({})", fields.collect::<PyResult<Vec<_>>>()?.join(", ")))
}

/// Returns the value with a dictionary in place of each report.
fn plain(value: Bound<'_, PyAny>) -> PyResult<Bound<'_, PyAny>> {
    if value.hasattr("to_dict")? {
        return value.call_method0("to_dict");
    }
    let Ok(dict) = value.cast::<PyDict>() else { return Ok(value) };
    let plain_dict = PyDict::new(value.py());
    for (key, value) in dict {
        plain_dict.set_item(key, plain(value)?)?;
    }
    Ok(plain_dict.into_any())
}
