//! The TUN: whole frames, super-packets included, each behind its virtio-net header.
//!
//! In: a name or a descriptor, the offloads wanted. Out: frames read and written one system call
//! each. Drops: nothing. Order: the device is one queue, read by one thread.

mod offloads;

use std::{
    ffi::CStr,
    io::{self, IoSlice},
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};

use arrayvec::ArrayVec;
use pyfw_core::{frame::Slice, packet::virtio::VIRTIO_HEADER_LENGTH};

pub use self::offloads::TunOffloads;
use crate::sys::epoll::check;

/// Pieces of one written frame: its header, and its segments (UIO_MAXIOV of the kernel).
const PIECES: usize = 1024;

/// An open TUN.
pub struct Tun {
    fd: OwnedFd,
    name: String,
    /// Flags of the offloads that the kernel agreed to.
    granted: AtomicU32,
}

impl Tun {
    /// Makes a TUN of this name (or attaches to a persistent one) and asks for offloads.
    ///
    /// # Errors
    /// In the kernel's words and with what would be right: `NotFound` without /dev/net/tun,
    /// `PermissionDenied` without CAP_NET_ADMIN, `ResourceBusy` where the TUN is in use,
    /// `InvalidInput` for what is no interface name, or another interface's.
    pub fn open(name: &str, wanted: TunOffloads) -> io::Result<Self> {
        let mut request = interface_request(name)?;
        let device = c"/dev/net/tun";
        // SAFETY: `device` ends with a zero byte.
        let fd = unsafe {
            libc::open(device.as_ptr(), libc::O_RDWR | libc::O_NONBLOCK | libc::O_CLOEXEC)
        };
        let fd = check(fd).map_err(|error| explain("cannot open /dev/net/tun", error))?;
        // SAFETY: the kernel just made the descriptor, and nobody else has it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        let flags = libc::IFF_TUN | libc::IFF_NO_PI | libc::IFF_VNET_HDR;
        request.ifr_ifru.ifru_flags = flags as libc::c_short;
        // SAFETY: TUNSETIFF reads and writes one ifreq.
        check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TUNSETIFF, &raw mut request) })
            .map_err(|error| explain(&format!("cannot make the TUN {name}"), error))?;
        Self::attach(fd, wanted)
    }

    /// Takes over a TUN that was opened with IFF_NO_PI and IFF_VNET_HDR.
    ///
    /// # Errors
    /// `InvalidInput` where the descriptor is no such TUN, else the kernel's.
    pub fn attach(fd: OwnedFd, wanted: TunOffloads) -> io::Result<Self> {
        let request = attached_interface(&fd)?;
        // SAFETY: TUNGETIFF filled in the flags.
        let flags = libc::c_int::from(unsafe { request.ifr_ifru.ifru_flags });
        let needed = libc::IFF_TUN | libc::IFF_NO_PI | libc::IFF_VNET_HDR;
        if flags & needed != needed {
            let text = "the TUN was not opened with IFF_TUN, IFF_NO_PI and IFF_VNET_HDR";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        // SAFETY: the kernel's name ends with a zero byte inside the field.
        let name = unsafe { CStr::from_ptr(request.ifr_name.as_ptr()) };
        let name = name.to_string_lossy().into_owned();
        let size = VIRTIO_HEADER_LENGTH as libc::c_int;
        // SAFETY: TUNSETVNETHDRSZ reads one int.
        check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TUNSETVNETHDRSZ, &raw const size) })?;
        // SAFETY: the call takes no pointers.
        let status = check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) })?;
        // SAFETY: as above.
        check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, status | libc::O_NONBLOCK) })?;
        let tun = Self { fd, name, granted: AtomicU32::new(0) };
        tun.set_offloads(wanted)?;
        Ok(tun)
    }

    /// Asks the kernel for these offloads; those it does not know stay off, each by itself.
    /// Returns what is on now. A frame that waits already keeps its form.
    ///
    /// # Errors
    /// The kernel's, where it refuses even none of them (EBADFD: the link was deleted).
    pub fn set_offloads(&self, wanted: TunOffloads) -> io::Result<TunOffloads> {
        let mut granted = wanted;
        if self.request_offloads(wanted).is_err() {
            granted = TunOffloads::default();
            self.request_offloads(granted)?;
            for part in wanted.parts() {
                let more = granted.and(part);
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

    /// The offloads the kernel agreed to.
    pub fn granted(&self) -> TunOffloads {
        TunOffloads::from_flags(self.granted.load(Relaxed))
    }

    /// The interface's name when it was attached.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The index of the interface that has this name now in the calling thread's network
    /// namespace.
    ///
    /// # Errors
    /// ENODEV where there is none: it was renamed, moved or deleted.
    pub fn index(&self) -> io::Result<u32> {
        let name = interface_request(&self.name)?.ifr_name;
        // SAFETY: the name ends with a zero byte inside the field.
        match unsafe { libc::if_nametoindex(name.as_ptr()) } {
            0 => Err(io::Error::last_os_error()),
            index => Ok(index),
        }
    }

    /// Whether the link outlives its descriptors.
    ///
    /// # Errors
    /// EBADFD where the link was deleted.
    pub fn is_persistent(&self) -> io::Result<bool> {
        let request = attached_interface(&self.fd)?;
        // SAFETY: TUNGETIFF filled in the flags.
        let flags = libc::c_int::from(unsafe { request.ifr_ifru.ifru_flags });
        Ok(flags & libc::IFF_PERSIST != 0)
    }

    /// Reads one frame, its virtio-net header first. `None` where none waits.
    ///
    /// # Errors
    /// EBADFD where the link was deleted.
    pub fn read(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        // SAFETY: the kernel writes at most `buffer.len()` bytes.
        let n =
            unsafe { libc::read(self.fd.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len()) };
        if n >= 0 {
            return Ok(Some(n as usize));
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::EAGAIN | libc::EINTR) => Ok(None),
            _ => Err(error),
        }
    }

    /// Writes one frame: its virtio-net header, then slices of `buffer`.
    ///
    /// # Errors
    /// EIO where the link is down, EINVAL where the kernel refuses the header, EBADFD where the
    /// link was deleted; `InvalidInput` for more than 1,023 slices.
    pub fn write(
        &self,
        header: &[u8; VIRTIO_HEADER_LENGTH],
        buffer: &[u8],
        slices: &[Slice],
    ) -> io::Result<()> {
        let mut pieces: ArrayVec<IoSlice<'_>, PIECES> = ArrayVec::new();
        pieces.push(IoSlice::new(header));
        for slice in slices {
            let start = slice.offset as usize;
            let piece = IoSlice::new(&buffer[start..start + slice.length as usize]);
            pieces.try_push(piece).map_err(|_| io::ErrorKind::InvalidInput)?;
        }
        // SAFETY: IoSlice has the layout of iovec, and all of them are filled.
        let n = unsafe {
            libc::writev(self.fd.as_raw_fd(), pieces.as_ptr().cast(), pieces.len() as libc::c_int)
        };
        if n < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
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

/// What TUNGETIFF says of a descriptor.
fn attached_interface(fd: &OwnedFd) -> io::Result<libc::ifreq> {
    // SAFETY: an ifreq of zeros is valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    // SAFETY: TUNGETIFF writes one ifreq.
    match check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TUNGETIFF, &raw mut request) }) {
        Ok(_) => Ok(request),
        // A TUN without a link (anymore) keeps its errno: callers know it as the link's end.
        Err(error) if error.raw_os_error() == Some(libc::EBADFD) => Err(error),
        Err(error) => {
            let text = format!("the descriptor is no TUN: {error}");
            Err(io::Error::new(io::ErrorKind::InvalidInput, text))
        }
    }
}

/// A request about an interface. What makes a name: Linux's dev_valid_name (net/core/dev.c).
fn interface_request(name: &str) -> io::Result<libc::ifreq> {
    let odd = |c: char| c == '/' || c == ':' || c == '\0' || c.is_ascii_whitespace();
    if matches!(name, "" | "." | "..") || name.len() >= libc::IFNAMSIZ || name.contains(odd) {
        let text =
            format!("{name:?} is no interface name: 1 to 15 bytes without slash, colon, space");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    // SAFETY: an ifreq of zeros is valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    Ok(request)
}

/// The kernel's refusal of a TUN, with what would be right. The kind stays.
fn explain(what: &str, error: io::Error) -> io::Error {
    let hint = match error.raw_os_error() {
        Some(libc::ENOENT | libc::ENODEV | libc::ENXIO) => {
            ": load the module (modprobe tun), or give the container this device"
        }
        Some(libc::EPERM | libc::EACCES) => ": root or CAP_NET_ADMIN is needed",
        Some(libc::EBUSY) => ": another process has it; stop that, or take another name",
        Some(libc::EINVAL) => ": the name is that of an interface of another kind",
        _ => "",
    };
    io::Error::new(error.kind(), format!("{what}: {error}{hint}"))
}

#[cfg(test)]
mod tests;
