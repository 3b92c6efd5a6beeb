//! The TUN: whole frames, super-packets included, each behind its virtio-net header.
//!
//! One system call per frame. The device is one queue, and one thread reads it.

mod offloads;
mod queue_drops;

use std::{
    fs::OpenOptions,
    io::{self, IoSlice},
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::fs::OpenOptionsExt,
    },
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};

use arrayvec::ArrayVec;
use pyfw_core::{frame::Slice, packet::virtio::VIRTIO_HEADER_LENGTH};
use rustix::io::Errno;

pub use self::{offloads::TunOffloads, queue_drops::queue_drops};
use crate::sys::{check, socket_address::interface_index};

/// Slices of one written frame, its header included (UIO_MAXIOV of the kernel).
const IO_SLICES: usize = 1024;

/// An open TUN.
pub struct Tun {
    fd: OwnedFd,
    name: String,
    /// Flags of the offloads that the kernel granted.
    granted: AtomicU32,
}

impl Tun {
    /// Creates a TUN of this name, or attaches to a persistent one, and requests offloads.
    ///
    /// # Errors
    /// The kernel's, with what would be right: `NotFound` without /dev/net/tun, `PermissionDenied` without
    /// CAP_NET_ADMIN, `ResourceBusy` if the TUN is in use, `InvalidInput` if the name is invalid or that of
    /// another kind of interface.
    pub fn open(name: &str, offloads: TunOffloads) -> io::Result<Self> {
        let mut request = interface_request(name)?;
        let device = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK)
            .open("/dev/net/tun")
            .map_err(|error| explain("cannot open /dev/net/tun", error))?;
        let flags = libc::IFF_TUN | libc::IFF_NO_PI | libc::IFF_VNET_HDR;
        request.ifr_ifru.ifru_flags = flags as libc::c_short;
        // SAFETY: TUNSETIFF reads and writes one ifreq, which outlives the call.
        check(unsafe { libc::ioctl(device.as_raw_fd(), libc::TUNSETIFF, &raw mut request) })
            .map_err(|error| explain(&format!("cannot create the TUN {name}"), error))?;
        Self::attach(device.into(), offloads)
    }

    /// Takes over a TUN that was opened with IFF_NO_PI and IFF_VNET_HDR.
    ///
    /// # Errors
    /// `InvalidInput` if the descriptor is not such a TUN, else the kernel's.
    pub fn attach(fd: OwnedFd, offloads: TunOffloads) -> io::Result<Self> {
        let (name, flags) = attached_interface(&fd)?;
        let needed = libc::IFF_TUN | libc::IFF_NO_PI | libc::IFF_VNET_HDR;
        if flags & needed != needed {
            let text = "the TUN was not opened with IFF_TUN, IFF_NO_PI and IFF_VNET_HDR";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let size = VIRTIO_HEADER_LENGTH as libc::c_int;
        // SAFETY: TUNSETVNETHDRSZ reads one int, which outlives the call.
        check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TUNSETVNETHDRSZ, &raw const size) })?;
        rustix::io::ioctl_fionbio(&fd, true)?;
        let tun = Self { fd, name, granted: AtomicU32::new(0) };
        tun.set_offloads(offloads)?;
        Ok(tun)
    }

    /// Requests these offloads; the kernel refuses each that it does not have. Returns those that are on now.
    /// A frame that is queued already keeps its form.
    ///
    /// # Errors
    /// The kernel's, if it refuses to turn all of them off (EBADFD: the link was deleted).
    pub fn set_offloads(&self, offloads: TunOffloads) -> io::Result<TunOffloads> {
        let mut granted = offloads;
        if self.request_offloads(offloads).is_err() {
            granted = TunOffloads::default();
            self.request_offloads(granted)?;
            for part in offloads.parts() {
                let more = granted.union(part);
                // A refusal leaves the kernel's set as it was (tun.c, set_offload).
                if self.request_offloads(more).is_ok() {
                    granted = more;
                }
            }
        }
        self.granted.store(granted.flags(), Relaxed);
        Ok(granted)
    }

    fn request_offloads(&self, offloads: TunOffloads) -> io::Result<()> {
        let flags = libc::c_ulong::from(offloads.flags());
        // SAFETY: TUNSETOFFLOAD takes its argument by value.
        check(unsafe { libc::ioctl(self.fd.as_raw_fd(), libc::TUNSETOFFLOAD, flags) }).map(|_| ())
    }

    /// Returns the offloads that the kernel granted.
    pub fn granted(&self) -> TunOffloads {
        TunOffloads::from_flags(self.granted.load(Relaxed))
    }

    /// Returns the name that the interface had when it was attached.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the index of the interface that now has this name in the calling thread's network namespace.
    ///
    /// # Errors
    /// ENODEV if there is none: it was renamed, moved or deleted.
    pub fn index(&self) -> io::Result<u32> {
        interface_index(&self.name)
    }

    /// Whether the link outlives its descriptors.
    ///
    /// # Errors
    /// EBADFD if the link was deleted.
    pub fn is_persistent(&self) -> io::Result<bool> {
        let (_, flags) = attached_interface(&self.fd)?;
        Ok(flags & libc::IFF_PERSIST != 0)
    }

    /// Reads one frame, its virtio-net header first. `None` if the queue is empty.
    ///
    /// # Errors
    /// EBADFD if the link was deleted.
    pub fn read(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        match rustix::io::read(&self.fd, buffer) {
            Ok(length) => Ok(Some(length)),
            Err(Errno::AGAIN | Errno::INTR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes one frame: its virtio-net header, then slices of `buffer`.
    ///
    /// # Errors
    /// EIO if the link is down, EINVAL if the kernel refuses the header, EBADFD if the link was deleted;
    /// `InvalidInput` for more than 1,023 slices.
    pub fn write(
        &self,
        header: &[u8; VIRTIO_HEADER_LENGTH],
        buffer: &[u8],
        slices: &[Slice],
    ) -> io::Result<()> {
        let mut io_slices: ArrayVec<IoSlice<'_>, IO_SLICES> = ArrayVec::new();
        io_slices.push(IoSlice::new(header));
        for slice in slices {
            let start = slice.offset as usize;
            let bytes = &buffer[start..start + slice.length as usize];
            io_slices.try_push(IoSlice::new(bytes)).map_err(|_| io::ErrorKind::InvalidInput)?;
        }
        rustix::io::writev(&self.fd, &io_slices)?;
        Ok(())
    }

    /// Gives the descriptor away.
    pub fn into_fd(self) -> OwnedFd {
        self.fd
    }
}

impl AsFd for Tun {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Returns the name and the flags of the interface that a descriptor is attached to (TUNGETIFF).
fn attached_interface(fd: &OwnedFd) -> io::Result<(String, libc::c_int)> {
    // SAFETY: an ifreq holds integers and a raw pointer, for which zeros are valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    // SAFETY: TUNGETIFF writes one ifreq, which outlives the call.
    match check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TUNGETIFF, &raw mut request) }) {
        Ok(_) => {}
        // The link was deleted. Callers distinguish this by its errno.
        Err(error) if error.raw_os_error() == Some(libc::EBADFD) => return Err(error),
        Err(error) => {
            let text = format!("the descriptor is not a TUN: {error}");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
    }
    let name =
        request.ifr_name.iter().map(|&c| c as u8).take_while(|&c| c != 0).collect::<Vec<_>>();
    // SAFETY: TUNGETIFF wrote the flags; integers of any bit pattern are valid.
    let flags = libc::c_int::from(unsafe { request.ifr_ifru.ifru_flags });
    Ok((String::from_utf8_lossy(&name).into_owned(), flags))
}

/// Returns a request about an interface. Names are valid as in Linux's dev_valid_name (net/core/dev.c).
fn interface_request(name: &str) -> io::Result<libc::ifreq> {
    let is_invalid = |c: char| c == '/' || c == ':' || c == '\0' || c.is_ascii_whitespace();
    if matches!(name, "" | "." | "..") || name.len() >= libc::IFNAMSIZ || name.contains(is_invalid)
    {
        let text = format!(
            "{name:?} is not an interface name: expected 1 to 15 bytes without slash, colon or space"
        );
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    // SAFETY: an ifreq holds integers and a raw pointer, for which zeros are valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    Ok(request)
}

/// Adds to the kernel's error what failed and what would be right. The kind stays.
fn explain(what: &str, error: io::Error) -> io::Error {
    let hint = match error.raw_os_error() {
        Some(libc::ENOENT | libc::ENODEV | libc::ENXIO) => {
            ": load the module (modprobe tun), or give the container this device"
        }
        Some(libc::EPERM | libc::EACCES) => ": root or CAP_NET_ADMIN is needed",
        Some(libc::EBUSY) => ": another process uses it; stop that process, or choose another name",
        Some(libc::EINVAL) => ": an interface of another kind has this name",
        _ => "",
    };
    io::Error::new(error.kind(), format!("{what}: {error}{hint}"))
}

#[cfg(test)]
mod tests;
