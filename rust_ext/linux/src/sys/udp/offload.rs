//! What the kernel's segmentation can do, and how long the path's packets may be.

use std::{
    ffi::CStr,
    io,
    mem::zeroed,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket as Probe},
    os::fd::OwnedFd,
};

use pyfw_core::wireguard::path::Path;

use super::{Outgoing, Sender, UdpSocket};
use crate::sys::{epoll::check, socket_address::Raw};

/// Segments that every kernel with UDP_SEGMENT sends (UDP_MAX_SEGMENTS was 1 << 6), and that
/// newer ones do (1 << 7 since Linux 6.9).
const SEGMENTS: (usize, usize) = (64, 128);

/// How many segments one send may have, tried on a loopback socket; 64 where that fails (also
/// where `lo` is down).
pub fn max_gso_segments() -> usize {
    let (floor, most) = SEGMENTS;
    let fits = || -> io::Result<usize> {
        let socket = Probe::bind("127.0.0.1:0")?;
        let path = Path::to(socket.local_addr()?);
        let socket = UdpSocket::from_fd(OwnedFd::from(socket))?;
        let bytes = vec![0; most];
        let message = Outgoing { path, ds: 0, segment_size: 1, bytes: &bytes };
        Sender::new().send(&socket, &[message]).map(|_| most)
    };
    fits().unwrap_or(floor)
}

/// Whether this kernel's UDP segmentation is to be trusted: 7.0 to 7.1.4 corrupt batches of equal
/// segments (tailscale issue 19777).
pub fn gso_is_sound() -> bool {
    // SAFETY: a utsname of zeros is valid.
    let mut names: libc::utsname = unsafe { zeroed() };
    // SAFETY: the kernel writes one utsname, its strings ended by a zero byte.
    let release = unsafe {
        libc::uname(&raw mut names);
        CStr::from_ptr(names.release.as_ptr())
    };
    release_is_sound(&release.to_string_lossy())
}

fn release_is_sound(release: &str) -> bool {
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .map(|digits| digits.parse::<u32>().unwrap_or(0));
    let mut next = || numbers.next().unwrap_or(0);
    let version = (next(), next(), next());
    !((7, 0, 0)..=(7, 1, 4)).contains(&version)
}

impl UdpSocket {
    /// The MTU of the route that this socket's datagrams take on a path, as the kernel knows it
    /// now: asked with the same source and mark, because rules may route by either.
    ///
    /// # Errors
    /// The kernel's, where there is no route, or the source or the mark is not to be had.
    pub fn route_mtu(&self, path: &Path) -> io::Result<usize> {
        let from: SocketAddr = match path.source.map(|source| (source.address, source.interface)) {
            Some((IpAddr::V6(ip), interface)) => SocketAddrV6::new(ip, 0, 0, interface).into(),
            Some((ip, _)) => (ip, 0).into(),
            None if path.destination.is_ipv4() => (Ipv4Addr::UNSPECIFIED, 0).into(),
            None => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let ipv4 = path.destination.is_ipv4();
        let probe = Self { fd: Probe::bind(from)?.into(), ipv4, port: 0 };
        let mark = self.get(libc::SOL_SOCKET, libc::SO_MARK)?;
        if mark != 0 {
            probe.set(libc::SOL_SOCKET, libc::SO_MARK, mark)?;
        }
        let (mut to, length) = Raw::new(&path.destination);
        // SAFETY: `to` outlives the call and has `length` bytes.
        check(unsafe { libc::connect(probe.raw(), to.as_mut_ptr().cast(), length) })?;
        let mtu = match probe.ipv4 {
            true => probe.get(libc::IPPROTO_IP, libc::IP_MTU)?,
            false => probe.get(libc::IPPROTO_IPV6, libc::IPV6_MTU)?,
        };
        Ok(mtu as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_7_0_to_7_1_4_do_not_segment() {
        for (release, sound) in [
            ("6.18.44-fc", true),
            ("6.12.0", true),
            ("7.0.0-rc1", false),
            ("7.0.9-amd64", false),
            ("7.1.4", false),
            ("7.1.5-1-pve", true),
            ("7.2", true),
        ] {
            assert_eq!(release_is_sound(release), sound, "{release}");
        }
    }

    #[test]
    fn the_probe_finds_64_or_128_segments() {
        assert!([64, 128].contains(&max_gso_segments()));
    }
}
