//! The limits of the kernel's segmentation, and the MTU of a route.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket as StdSocket},
    os::fd::OwnedFd,
};

use pyfw_core::wireguard::path::Path;
use rustix::system::uname;
use socket2::Socket;

use super::{Outgoing, Sender, UdpSocket, option};

/// Segments of one send: UDP_MAX_SEGMENTS of every kernel with UDP_SEGMENT (1 << 6), and since Linux 6.9 (1
/// << 7).
const SEGMENTS: (usize, usize) = (64, 128);

/// Probes on a loopback socket how many segments one send may have; 64 if the probe fails, as it does while
/// `lo` is down.
pub fn max_gso_segments() -> usize {
    let (least, most) = SEGMENTS;
    let probe = || -> io::Result<()> {
        let socket = StdSocket::bind("127.0.0.1:0")?;
        let path = Path::to(socket.local_addr()?);
        let socket = UdpSocket::from_fd(OwnedFd::from(socket))?;
        let bytes = vec![0; most];
        let message = Outgoing { path, ds: 0, segment_size: 1, bytes: &bytes };
        Sender::new().send(&socket, &[message]).map(drop)
    };
    if probe().is_ok() { most } else { least }
}

/// Whether this kernel segments correctly: 7.0 to 7.1.4 corrupt batches of equal segments (tailscale issue
/// 19777).
pub fn gso_is_sound() -> bool {
    release_is_sound(&uname().release().to_string_lossy())
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
    /// Asks the kernel for the MTU of the route that this socket's datagrams take on a path. The probe has
    /// the same source and mark, because policy rules may route by either.
    ///
    /// # Errors
    /// The kernel's, if there is no route, or the source or the mark cannot be used.
    pub fn route_mtu(&self, path: &Path) -> io::Result<usize> {
        let from: SocketAddr = match path.source.map(|source| (source.address, source.interface)) {
            Some((IpAddr::V6(ip), interface)) => SocketAddrV6::new(ip, 0, 0, interface).into(),
            Some((ip, _)) => (ip, 0).into(),
            None if path.destination.is_ipv4() => (Ipv4Addr::UNSPECIFIED, 0).into(),
            None => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let probe = Socket::from(StdSocket::bind(from)?);
        let mark = self.socket.mark()?;
        if mark != 0 {
            probe.set_mark(mark)?;
        }
        probe.connect(&path.destination.into())?;
        let mtu = match path.destination.is_ipv4() {
            true => option::get(&probe, libc::IPPROTO_IP, libc::IP_MTU)?,
            false => option::get(&probe, libc::IPPROTO_IPV6, libc::IPV6_MTU)?,
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
