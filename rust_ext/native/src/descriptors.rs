//! Opening TUNs and sockets, in the calling thread's network namespace.

use std::os::fd::{AsFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};

use pyfw_linux::{
    engine::Sockets,
    sys::{
        tun::{Tun, TunOffloads},
        udp::{UdpSocket, bind_pair},
    },
};
use pyo3::prelude::*;

use crate::convert::{os_error, value_error};

type Opened = (RawFd, String, Vec<&'static str>);

/// Makes or attaches a TUN by name.
#[pyfunction]
#[pyo3(signature = (name, offloads = vec!["tso".into(), "uso".into()]))]
pub(crate) fn open_tun(py: Python<'_>, name: &str, offloads: Vec<String>) -> PyResult<Opened> {
    let wanted = tun_offloads(&offloads)?;
    let tun = py.detach(|| Tun::open(name, wanted)).map_err(os_error)?;
    let (name, granted) = (tun.name().to_owned(), granted_names(&tun));
    Ok((tun.into_fd().into_raw_fd(), name, granted))
}

/// Looks at a TUN that was handed over; the descriptor stays the caller's.
#[pyfunction]
#[pyo3(signature = (fd, offloads = vec!["tso".into(), "uso".into()]))]
pub(crate) fn attach_tun(
    fd: RawFd,
    offloads: Vec<String>,
) -> PyResult<(String, Vec<&'static str>)> {
    let wanted = tun_offloads(&offloads)?;
    let tun = Tun::attach(duplicate(fd)?, wanted).map_err(os_error)?;
    Ok((tun.name().to_owned(), granted_names(&tun)))
}

/// Binds UDP on both families to one port.
#[pyfunction]
#[pyo3(signature = (port, fwmark = 0))]
pub(crate) fn open_udp(py: Python<'_>, port: u16, fwmark: u32) -> PyResult<(RawFd, RawFd, u16)> {
    let (v4, v6, port) = py.detach(|| bind_pair(port, fwmark)).map_err(os_error)?;
    Ok((v4.into_fd().into_raw_fd(), v6.map_or(-1, |v6| v6.into_fd().into_raw_fd()), port))
}

/// The two sockets of `open_udp` as the engine wants them.
pub(crate) fn sockets((v4, v6): (OwnedFd, Option<OwnedFd>)) -> PyResult<Sockets> {
    Ok(Sockets { v4: UdpSocket::from_fd(v4)?, v6: v6.map(UdpSocket::from_fd).transpose()? })
}

/// The switches of the TUN among an engine's.
pub(crate) fn tun_offloads(names: &[String]) -> PyResult<TunOffloads> {
    let mut offloads = TunOffloads::default();
    for name in names {
        match name.as_str() {
            "tso" => (offloads.tso4, offloads.tso6) = (true, true),
            "uso" => (offloads.uso4, offloads.uso6) = (true, true),
            other => return Err(value_error(format!("{other:?} is no TUN offload: tso, uso"))),
        }
    }
    Ok(offloads)
}

pub(crate) fn granted_names(tun: &Tun) -> Vec<&'static str> {
    let granted = tun.granted();
    let named = [("tso", granted.tso4 && granted.tso6), ("uso", granted.uso4 && granted.uso6)];
    named.into_iter().filter(|(_, on)| *on).map(|(name, _)| name).collect()
}

/// Takes over two descriptors, the second of which may be missing (-1).
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
    // SAFETY: the descriptor is open and stays so while it is duplicated.
    Ok(unsafe { BorrowedFd::borrow_raw(fd) }.as_fd().try_clone_to_owned()?)
}

fn check(fd: RawFd) -> PyResult<()> {
    if fd < 0 {
        return Err(value_error(format!("{fd} is no descriptor")));
    }
    Ok(())
}
