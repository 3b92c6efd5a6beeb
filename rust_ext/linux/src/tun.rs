//! The TUN: whole frames, super-packets included, each behind its virtio-net header.
//!
//! In: a name or a descriptor, the offloads wanted. Out: frames read and written one system call
//! each. Drops: nothing. Order: the device is one queue, read by one thread.

use std::{
    ffi::CStr,
    io::{self, IoSlice},
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
};

use arrayvec::ArrayVec;
use pyfw_core::{frame::Slice, packet::virtio::VIRTIO_HEADER_LENGTH};

use crate::epoll::check;

/// Offloads of the TUN, as TUNSETOFFLOAD knows them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TunOffloads {
    /// TCP over IPv4.
    pub tso4: bool,
    /// TCP over IPv6.
    pub tso6: bool,
    /// UDP over IPv4 (Linux 6.2).
    pub uso4: bool,
    /// UDP over IPv6 (Linux 6.2).
    pub uso6: bool,
}

// include/uapi/linux/if_tun.h
const TUN_F_CSUM: libc::c_uint = 0x01;
const TUN_F_TSO4: libc::c_uint = 0x02;
const TUN_F_TSO6: libc::c_uint = 0x04;
const TUN_F_TSO_ECN: libc::c_uint = 0x08;
const TUN_F_USO4: libc::c_uint = 0x20;
const TUN_F_USO6: libc::c_uint = 0x40;

/// Pieces of one written frame: its header, and its segments (UIO_MAXIOV of the kernel).
const PIECES: usize = 1024;

/// An open TUN.
pub struct Tun {
    fd: OwnedFd,
    name: String,
    granted: TunOffloads,
}

impl Tun {
    /// Makes a TUN of this name (or attaches to a persistent one) and asks for offloads.
    ///
    /// # Errors
    /// `NotFound` without /dev/net/tun, `PermissionDenied` without CAP_NET_ADMIN, EBUSY where
    /// another process has the TUN, `InvalidInput` for a name of no or more than 15 bytes.
    pub fn open(name: &str, wanted: TunOffloads) -> io::Result<Self> {
        let mut request = interface_request(name)?;
        let path = c"/dev/net/tun";
        // SAFETY: `path` ends with a zero byte.
        let fd = unsafe {
            libc::open(path.as_ptr(), libc::O_RDWR | libc::O_NONBLOCK | libc::O_CLOEXEC)
        };
        let fd = check(fd).map_err(|e| explain(e, "open /dev/net/tun", "modprobe tun"))?;
        // SAFETY: the kernel just made the descriptor, and nobody else has it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        let flags = libc::IFF_TUN | libc::IFF_NO_PI | libc::IFF_VNET_HDR;
        request.ifr_ifru.ifru_flags = flags as libc::c_short;
        // SAFETY: TUNSETIFF reads and writes one ifreq.
        check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TUNSETIFF, &raw mut request) }).map_err(
            |error| match error.raw_os_error() {
                Some(libc::EBUSY) => explain(error, name, "another process has this TUN"),
                Some(libc::EPERM) => explain(error, name, "root or CAP_NET_ADMIN is needed"),
                _ => explain(error, name, "cannot make the TUN"),
            },
        )?;
        Self::attach(fd, wanted)
    }

    /// Takes over a TUN that was opened with IFF_VNET_HDR.
    ///
    /// # Errors
    /// `InvalidInput` where the descriptor is no such TUN, else the kernel's.
    pub fn attach(fd: OwnedFd, wanted: TunOffloads) -> io::Result<Self> {
        let mut request = interface_request("?")?;
        // SAFETY: TUNGETIFF writes one ifreq.
        check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TUNGETIFF, &raw mut request) })
            .map_err(|error| explain(error, "TUN", "the descriptor is no TUN"))?;
        // SAFETY: TUNGETIFF fills name and flags.
        let flags = libc::c_int::from(unsafe { request.ifr_ifru.ifru_flags });
        if flags & libc::IFF_TUN == 0 || flags & libc::IFF_VNET_HDR == 0 {
            let text = "the TUN descriptor must be opened with IFF_TUN and IFF_VNET_HDR";
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
        check(unsafe {
            libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, status | libc::O_NONBLOCK)
        })?;
        let mut tun = Self { fd, name, granted: TunOffloads::default() };
        tun.granted = tun.probe(wanted)?;
        Ok(tun)
    }

    /// Asks for what is wanted, and for less where the kernel refuses: without USO it is older
    /// than 6.2.
    fn probe(&self, wanted: TunOffloads) -> io::Result<TunOffloads> {
        let without_uso = TunOffloads { uso4: false, uso6: false, ..wanted };
        for offloads in [wanted, without_uso] {
            if self.set_offloads(offloads).is_ok() {
                return Ok(offloads);
            }
        }
        self.set_offloads(TunOffloads::default())?;
        Ok(TunOffloads::default())
    }

    /// Tells the kernel which frames it may hand over.
    ///
    /// # Errors
    /// EINVAL where it does not know one of them.
    pub fn set_offloads(&self, offloads: TunOffloads) -> io::Result<()> {
        let TunOffloads { tso4, tso6, uso4, uso6 } = offloads;
        let mut flags = TUN_F_CSUM;
        for (on, flag) in
            [(tso4, TUN_F_TSO4), (tso6, TUN_F_TSO6), (uso4, TUN_F_USO4), (uso6, TUN_F_USO6)]
        {
            flags |= if on { flag } else { 0 };
        }
        if tso4 && tso6 {
            flags |= TUN_F_TSO_ECN;
        }
        let flags = libc::c_ulong::from(flags);
        // SAFETY: TUNSETOFFLOAD takes its argument by value.
        check(unsafe { libc::ioctl(self.fd.as_raw_fd(), libc::TUNSETOFFLOAD, flags) })?;
        Ok(())
    }

    /// The offloads the kernel agreed to.
    pub fn granted(&self) -> TunOffloads {
        self.granted
    }

    /// The interface's name when it was attached.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Reads one frame, its virtio-net header first. `None` where none waits.
    ///
    /// # Errors
    /// EBADFD where the link was deleted.
    pub fn read(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        // SAFETY: the kernel writes at most `buffer.len()` bytes.
        let n = unsafe {
            libc::read(self.fd.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len())
        };
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
            libc::writev(
                self.fd.as_raw_fd(),
                pieces.as_ptr().cast(),
                pieces.len() as libc::c_int,
            )
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

fn interface_request(name: &str) -> io::Result<libc::ifreq> {
    if name.is_empty() || name.len() >= libc::IFNAMSIZ || name.contains(['/', '\0']) {
        let text = format!("{name:?} is no interface name: 1 to 15 bytes, no slash");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    // SAFETY: an ifreq of zeros is valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    Ok(request)
}

/// The kernel's error, with what would be right; the errno is kept.
fn explain(error: io::Error, what: &str, hint: &str) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {error}: {hint}"))
}
