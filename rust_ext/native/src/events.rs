//! Events of an engine as dictionaries: the fields differ from event to event.

use pyfw_linux::{
    engine::events::{EngineEvent, Severity, Value},
    sys::clock,
};
use pyo3::{
    prelude::*,
    types::{PyBytes, PyDict},
};

/// Converts events, and appends one if some were lost.
pub(crate) fn dictionaries(
    py: Python<'_>,
    mut events: Vec<EngineEvent>,
    lost: i64,
) -> PyResult<Vec<Bound<'_, PyDict>>> {
    if lost > 0 {
        events.push(EngineEvent {
            time_ns: clock::unix_ns(),
            severity: Severity::Warning,
            message: "events.lost",
            fields: vec![("count", Value::Number(lost))],
        });
    }
    events.into_iter().map(|event| dictionary(py, event)).collect()
}

fn dictionary(py: Python<'_>, event: EngineEvent) -> PyResult<Bound<'_, PyDict>> {
    let severity = match event.severity {
        Severity::Debug => "DEBUG",
        Severity::Info => "INFO",
        Severity::Warning => "WARNING",
        Severity::Error => "ERROR",
    };
    let fields = PyDict::new(py);
    fields.set_item("time_ns", event.time_ns)?;
    fields.set_item("severity", severity)?;
    fields.set_item("message", event.message)?;
    for (name, value) in event.fields {
        match value {
            Value::Number(number) => fields.set_item(name, number)?,
            Value::Text(text) => fields.set_item(name, text)?,
            Value::Bytes(bytes) => fields.set_item(name, PyBytes::new(py, &bytes))?,
        }
    }
    Ok(fields)
}
