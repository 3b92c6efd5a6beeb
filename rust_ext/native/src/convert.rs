//! Text and bytes of Python to values of the core, with errors that say what would be right.

use std::{io, net::SocketAddr};

use pyfw_core::wireguard::allowed_ips::{Prefix, PrefixError};
use pyo3::{
    PyErr, PyResult,
    exceptions::{PyOSError, PyValueError},
};

pub(crate) fn value_error(text: String) -> PyErr {
    PyValueError::new_err(text)
}

/// The kernel's refusal, with its number: the UAPI answers with it, and hints go by it.
pub(crate) fn os_error(error: io::Error) -> PyErr {
    let Some(number) = error.raw_os_error() else { return error.into() };
    let text = error.to_string();
    let words = text.strip_suffix(&format!(" (os error {number})")).unwrap_or(&text).to_owned();
    PyOSError::new_err((number, words))
}

/// "192.0.2.1:51820" or "[2001:db8::1]:51820", an IPv6 scope as a number ("[fe80::1%2]:51820").
pub(crate) fn socket_address(text: &str) -> PyResult<SocketAddr> {
    text.parse().map_err(|_| {
        value_error(format!("{text:?} is no address: \"ip:port\" or \"[ip6]:port\" would be right"))
    })
}

/// "10.0.0.0/8" or "2001:db8::/32".
pub(crate) fn prefix(text: &str) -> PyResult<Prefix> {
    text.parse().map_err(|error: PrefixError| value_error(error.to_string()))
}

/// 32 bytes of a key.
pub(crate) fn key(bytes: &[u8]) -> PyResult<[u8; 32]> {
    bytes
        .try_into()
        .map_err(|_| value_error(format!("a key has 32 bytes, this has {}", bytes.len())))
}
