//! Arguments of Python to values of the core, with errors that say what would be right.

use std::{io, net::SocketAddr};

use pyfw_core::wireguard::allowed_ips::{Prefix, PrefixError};
use pyo3::{
    PyErr, PyResult,
    exceptions::{PyOSError, PyValueError},
};

pub(crate) fn value_error(text: String) -> PyErr {
    PyValueError::new_err(text)
}

/// Returns an OSError with errno and the kernel's message: the UAPI answers with the errno.
pub(crate) fn os_error(error: io::Error) -> PyErr {
    let Some(number) = error.raw_os_error() else { return error.into() };
    let text = error.to_string();
    let message = text.strip_suffix(&format!(" (os error {number})")).unwrap_or(&text).to_owned();
    PyOSError::new_err((number, message))
}

/// Parses "ip:port" or "[ip6]:port"; the scope of an IPv6 address is a number ("[fe80::1%2]:51820").
pub(crate) fn socket_address(text: &str) -> PyResult<SocketAddr> {
    text.parse().map_err(|_| {
        value_error(format!("invalid address {text:?}: expected \"ip:port\" or \"[ip6]:port\""))
    })
}

/// Parses "ip:port" or "[ip6]:port"; the scope of an IPv6 address may be the name of an interface.
#[cfg(target_os = "linux")]
pub(crate) fn endpoint(text: &str) -> PyResult<SocketAddr> {
    pyfw_linux::sys::socket_address::parse(text).ok_or_else(|| {
        value_error(format!(
            "invalid endpoint {text:?}: expected \"ip:port\" or \"[ip6%interface]:port\""
        ))
    })
}

/// Parses "10.0.0.0/8" or "2001:db8::/32".
pub(crate) fn prefix(text: &str) -> PyResult<Prefix> {
    text.parse().map_err(|error: PrefixError| value_error(error.to_string()))
}

/// Checks the length of a key.
pub(crate) fn key(bytes: &[u8]) -> PyResult<[u8; 32]> {
    bytes
        .try_into()
        .map_err(|_| value_error(format!("a key has {} bytes, must have 32", bytes.len())))
}
