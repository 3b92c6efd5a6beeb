//! Opens TUNs and sockets in the calling thread's network namespace, and takes over descriptors.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd},
};

use pyfw_linux::{
    engine::Sockets,
    sys::{
        tun::{Tun, TunOffloads},
        udp::{UdpSocket, bind_pair},
    },
};
use pyo3::prelude::*;

use crate::convert::{os_error, value_error};

/// Creates a TUN, or attaches to a persistent one.
#[pyfunction]
#[pyo3(signature = (name, offloads = vec!["tso".into(), "uso".into()]))]
pub(crate) fn open_tun(
    py: Python<'_>,
    name: &str,
    offloads: Vec<String>,
) -> PyResult<(RawFd, String, Vec<&'static str>)> {
    let requested = tun_offloads(&offloads)?;
    let tun = py.detach(|| Tun::open(name, requested)).map_err(os_error)?;
    let (name, granted) = (tun.name().to_owned(), granted_offloads(&tun));
    Ok((tun.into_fd().into_raw_fd(), name, granted))
}

/// Sets the offloads of a TUN that stays the caller's.
#[pyfunction]
#[pyo3(signature = (fd, offloads = vec!["tso".into(), "uso".into()]))]
pub(crate) fn attach_tun(
    fd: RawFd,
    offloads: Vec<String>,
) -> PyResult<(String, Vec<&'static str>)> {
    let requested = tun_offloads(&offloads)?;
    let tun = Tun::attach(duplicate(fd)?, requested).map_err(os_error)?;
    Ok((tun.name().to_owned(), granted_offloads(&tun)))
}

/// Binds UDP on IPv4 and IPv6 to one port.
#[pyfunction]
#[pyo3(signature = (port, fwmark = 0))]
pub(crate) fn open_udp(py: Python<'_>, port: u16, fwmark: u32) -> PyResult<(RawFd, RawFd, u16)> {
    let (v4, v6, port) = py.detach(|| bind_pair(port, fwmark)).map_err(os_error)?;
    Ok((v4.into_fd().into_raw_fd(), v6.map_or(-1, |v6| v6.into_fd().into_raw_fd()), port))
}

/// Returns the sockets of two descriptors.
pub(crate) fn sockets((v4, v6): (OwnedFd, Option<OwnedFd>)) -> PyResult<Sockets> {
    Ok(Sockets { v4: UdpSocket::from_fd(v4)?, v6: v6.map(UdpSocket::from_fd).transpose()? })
}

/// Turns UDP_GRO on or off.
pub(crate) fn set_gro(sockets: &Sockets, on: bool) -> io::Result<()> {
    sockets.v4.set_gro(on)?;
    sockets.v6.as_ref().map_or(Ok(()), |v6| v6.set_gro(on))
}

/// Parses names of TUN offloads.
pub(crate) fn tun_offloads<T: AsRef<str>>(names: &[T]) -> PyResult<TunOffloads> {
    let mut offloads = TunOffloads::default();
    for name in names {
        match name.as_ref() {
            "tso" => (offloads.tso4, offloads.tso6) = (true, true),
            "uso" => (offloads.uso4, offloads.uso6) = (true, true),
            other => {
                return Err(value_error(format!("unknown TUN offload {other:?}; known: tso, uso")));
            }
        }
    }
    Ok(offloads)
}

/// Returns the names of the offloads that the kernel granted.
pub(crate) fn granted_offloads(tun: &Tun) -> Vec<&'static str> {
    let granted = tun.granted();
    let named = [("tso", granted.tso4 && granted.tso6), ("uso", granted.uso4 && granted.uso6)];
    named.into_iter().filter(|(_, on)| *on).map(|(name, _)| name).collect()
}

/// Takes over two descriptors; the second may be missing (-1).
pub(crate) fn owned_pair((v4, v6): (RawFd, RawFd)) -> PyResult<(OwnedFd, Option<OwnedFd>)> {
    let v6 = if v6 < 0 { None } else { Some(owned(v6)?) };
    Ok((owned(v4)?, v6))
}

/// Takes over a descriptor.
pub(crate) fn owned(fd: RawFd) -> PyResult<OwnedFd> {
    check(fd)?;
    // SAFETY: the descriptor is open, and the caller hands it over.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn duplicate(fd: RawFd) -> PyResult<OwnedFd> {
    check(fd)?;
    // SAFETY: the descriptor is open and stays open while it is duplicated.
    Ok(unsafe { BorrowedFd::borrow_raw(fd) }.as_fd().try_clone_to_owned()?)
}

fn check(fd: RawFd) -> PyResult<()> {
    if fd < 0 {
        return Err(value_error(format!("invalid file descriptor {fd}")));
    }
    Ok(())
}
