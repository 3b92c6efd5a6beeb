//! packet: packets that a stage passes in: bytes, any buffer, or a scapy packet; and packets for scapy.

use pyo3::{buffer::PyBuffer, exceptions::PyTypeError, prelude::*, types::PyBytes};

/// Runs `body` with the packet's bytes.
pub(super) fn with_bytes<T>(
    packet: &Bound<'_, PyAny>,
    body: impl FnOnce(&[u8]) -> PyResult<T>,
) -> PyResult<T> {
    if let Ok(bytes) = packet.cast::<PyBytes>() {
        return body(bytes.as_bytes());
    }
    if let Ok(buffer) = PyBuffer::<u8>::get(packet) {
        return body(&buffer.to_vec(packet.py())?);
    }
    if packet.hasattr("__bytes__")? {
        let bytes = packet.call_method0("__bytes__")?;
        return body(bytes.cast::<PyBytes>()?.as_bytes());
    }
    let kind = packet.get_type().name()?;
    Err(PyTypeError::new_err(format!("a packet must be bytes or a scapy packet, not {kind}")))
}

/// Dissects a packet with scapy, which only this function imports.
pub(super) fn to_scapy<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    let module = if bytes.first().is_some_and(|b| b >> 4 == 6) { "inet6" } else { "inet" };
    let class = if module == "inet6" { "IPv6" } else { "IP" };
    let layers = py.import(format!("scapy.layers.{module}")).map_err(|error| {
        let text = "to_scapy needs scapy: pip install 'pyfw-dataplane[scapy]'";
        let missing = pyo3::exceptions::PyImportError::new_err(text);
        missing.set_cause(py, Some(error));
        missing
    })?;
    layers.getattr(class)?.call1((PyBytes::new(py, bytes),))
}
