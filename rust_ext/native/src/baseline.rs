//! The floor of a machine, for benchmarks: a cipher alone, and TUN to UDP alone.

use std::os::fd::RawFd;

use pyfw_linux::{
    engine::passthrough,
    sys::{socket_address, tun::Tun, udp::UdpSocket},
};
use pyo3::{exceptions::PyValueError, prelude::*};

use crate::{
    convert::value_error,
    descriptors::{owned, tun_offloads},
};

/// Nanoseconds to seal and to open a slot of this length with the cipher of this name.
#[pyfunction]
pub(crate) fn cipher_cost(py: Python<'_>, cipher: &str, length: u32) -> PyResult<(f64, f64)> {
    if length > 65_535 {
        return Err(value_error(format!("length is {length}, must be at most 65535")));
    }
    let mut opened =
        pyfw_aead::open(cipher).map_err(|error| PyValueError::new_err(error.to_string()))?;
    Ok(py.detach(|| pyfw_aead::cost::cost(&mut *opened, length)))
}

/// Carries frames between a TUN and UDP as they are; ends with an error alone.
#[pyfunction]
pub(crate) fn forward_bare(
    py: Python<'_>,
    tun_fd: RawFd,
    udp_fd: RawFd,
    peer: &str,
    segment_size: u16,
) -> PyResult<()> {
    let tun = Tun::attach(owned(tun_fd)?, tun_offloads(&["tso".into(), "uso".into()])?)?;
    let socket = UdpSocket::from_fd(owned(udp_fd)?)?;
    socket.set_gro(true)?;
    let peer = socket_address::parse(peer)
        .ok_or_else(|| value_error(format!("{peer:?} is no endpoint here")))?;
    if segment_size == 0 {
        return Err(value_error("segment_size is 0".into()));
    }
    match py.detach(|| passthrough::forward(&tun, &socket, peer, segment_size.into()))? {}
}
