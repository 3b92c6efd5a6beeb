//! What the kernel's segmentation can do, and how long the path's packets may be.

use std::{
    io,
    net::UdpSocket as Probe,
    os::fd::{AsFd, OwnedFd},
};

use pyfw_core::path::Path;

use super::{Outgoing, Sender, UdpSocket};

/// Segments that every kernel with UDP_SEGMENT sends (UDP_MAX_SEGMENTS was 1 << 6), and that
/// newer ones do (1 << 7 since Linux 6.9).
const SEGMENTS: (usize, usize) = (64, 128);

/// How many segments one send may have, tried on a loopback socket; 64 where that fails.
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
    std::fs::read_to_string("/proc/sys/kernel/osrelease").is_ok_and(|r| release_is_sound(&r))
}

fn release_is_sound(release: &str) -> bool {
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .map(|digits| digits.parse::<u32>().unwrap_or(0));
    let mut next = || numbers.next().unwrap_or(0);
    let version = (next(), next(), next());
    !((7, 0, 0)..=(7, 1, 4)).contains(&version)
}

/// The MTU of the route to a destination, as the kernel knows it now.
///
/// # Errors
/// The kernel's, where there is no route.
pub fn route_mtu(path: &Path) -> io::Result<usize> {
    let ipv4 = path.destination.is_ipv4();
    let probe = Probe::bind(if ipv4 { "0.0.0.0:0" } else { "[::]:0" })?;
    probe.connect(path.destination)?;
    let (level, option) = match ipv4 {
        true => (libc::IPPROTO_IP, libc::IP_MTU),
        false => (libc::IPPROTO_IPV6, libc::IPV6_MTU),
    };
    let fd = probe.as_fd().try_clone_to_owned()?;
    Ok(UdpSocket { fd, ipv4 }.get(level, option)? as usize)
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
