//! For tests: a network namespace per test, and the link settings that tests need.

use std::{
    fs::OpenOptions,
    io,
    mem::zeroed,
    net::{Ipv4Addr, UdpSocket},
    os::fd::AsRawFd,
    panic::resume_unwind,
    thread,
};

use rustix::thread::{UnshareFlags, unshare_unsafe};

use crate::sys::check;

/// Runs the test in a new network namespace in which `lo` is up; prints why if that is not possible.
pub(crate) fn in_own_namespace(test: impl FnOnce() + Send + 'static) {
    let body = move || {
        // SAFETY: a new network namespace for this thread affects no memory and no descriptor.
        if let Err(error) = unsafe { unshare_unsafe(UnshareFlags::NEWNET) } {
            eprintln!("skipped: needs root for a network namespace: {error}");
            return;
        }
        if let Err(error) = OpenOptions::new().read(true).write(true).open("/dev/net/tun") {
            eprintln!("skipped: /dev/net/tun: {error}");
            return;
        }
        set_up("lo", true);
        test();
    };
    if let Err(panic) = thread::spawn(body).join() {
        resume_unwind(panic);
    }
}

/// Sets a link up or down.
pub(crate) fn set_up(link: &str, up: bool) {
    let mut request = request(link);
    ioctl(libc::SIOCGIFFLAGS, &mut request).unwrap();
    // SAFETY: SIOCGIFFLAGS wrote the flags; integers of any bit pattern are valid.
    let flags = libc::c_int::from(unsafe { request.ifr_ifru.ifru_flags });
    let flags = if up { flags | libc::IFF_UP } else { flags & !libc::IFF_UP };
    request.ifr_ifru.ifru_flags = flags as libc::c_short;
    ioctl(libc::SIOCSIFFLAGS, &mut request).unwrap();
}

/// Replaces the IPv4 address of a link; the prefix is /24.
pub(crate) fn set_address(link: &str, address: Ipv4Addr) {
    let mut request = request(link);
    for (operation, address) in
        [(libc::SIOCSIFADDR, address), (libc::SIOCSIFNETMASK, Ipv4Addr::new(255, 255, 255, 0))]
    {
        let [a, b, c, d] = address.octets().map(|byte| byte as libc::c_char);
        // sa_data of a sockaddr_in: two bytes of port, then the address.
        request.ifr_ifru.ifru_addr.sa_family = libc::AF_INET as libc::sa_family_t;
        // SAFETY: the union was zeroed, and integers of any bit pattern are valid.
        unsafe { request.ifr_ifru.ifru_addr.sa_data[2..6].copy_from_slice(&[a, b, c, d]) };
        ioctl(operation, &mut request).unwrap();
    }
}

/// Sets a link's MTU.
pub(crate) fn set_mtu(link: &str, mtu: i32) {
    let mut request = request(link);
    request.ifr_ifru.ifru_mtu = mtu;
    ioctl(libc::SIOCSIFMTU, &mut request).unwrap();
}

fn request(link: &str) -> libc::ifreq {
    // SAFETY: an ifreq holds integers and a raw pointer, for which zeros are valid.
    let mut request: libc::ifreq = unsafe { zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(link.bytes()) {
        *to = from as libc::c_char;
    }
    request
}

fn ioctl(operation: libc::c_ulong, request: &mut libc::ifreq) -> io::Result<()> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    // SAFETY: these operations read or write one ifreq, which outlives the call.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), operation as libc::Ioctl, request) }).map(|_| ())
}
