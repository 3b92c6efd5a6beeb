//! What a machine can do at best, for benchmarks: a cipher alone, a tunnel without its cipher, and frames
//! from TUN to UDP with nothing between.

use std::os::fd::RawFd;

use pyfw_core::aead::Aead;
use pyfw_linux::{
    engine::passthrough::forward,
    sys::{tun::Tun, udp::UdpSocket},
};
use pyo3::{exceptions::PyRuntimeWarning, prelude::*};

use crate::{
    convert::{endpoint, value_error},
    descriptors::{owned, tun_offloads},
};

/// The cipher name that stands for no cipher.
pub(crate) const NO_CIPHER: &str = "off";

/// Returns no cipher for each path, and warns.
pub(crate) fn without_cipher(py: Python<'_>) -> PyResult<[Box<dyn Aead>; 2]> {
    let text = c"the cipher is off: nothing that this engine carries is secret or authentic";
    PyErr::warn(py, &py.get_type::<PyRuntimeWarning>(), text, 1)?;
    Ok([pyfw_aead::without_cipher(), pyfw_aead::without_cipher()])
}

/// Returns the nanoseconds that a cipher takes to seal and to open `length` bytes.
#[pyfunction]
pub(crate) fn cipher_cost(py: Python<'_>, cipher: &str, length: u32) -> PyResult<(f64, f64)> {
    if length > 65_535 {
        return Err(value_error(format!("length is {length}, must be at most 65535")));
    }
    let mut cipher = pyfw_aead::open(cipher).map_err(|error| value_error(error.to_string()))?;
    Ok(py.detach(|| pyfw_aead::cost::cost(&mut *cipher, length)))
}

/// Carries frames between a TUN and UDP as they are, until an error ends it.
#[pyfunction]
pub(crate) fn passthrough(
    py: Python<'_>,
    tun_fd: RawFd,
    udp_fd: RawFd,
    peer: &str,
    segment_size: u16,
) -> PyResult<()> {
    let tun = Tun::attach(owned(tun_fd)?, tun_offloads(&["tso", "uso"])?)?;
    let socket = UdpSocket::from_fd(owned(udp_fd)?)?;
    socket.set_gro(true)?;
    let peer = endpoint(peer)?;
    if segment_size == 0 {
        return Err(value_error("segment_size is 0, must be at least 1".into()));
    }
    match py.detach(|| forward(&tun, &socket, peer, segment_size.into()))? {}
}
