use std::{
    io::ErrorKind,
    net::{IpAddr, SocketAddr, UdpSocket as Plain},
    os::unix::net::UnixDatagram,
    time::Duration,
};

use pyfw_core::{
    inbound::udp_ingress::Received,
    wireguard::path::{Path, Source},
};

use super::*;
use crate::sys::{
    epoll::{Epoll, EventFlags},
    namespace::{in_own_namespace, set_address, set_mtu, set_up},
    tun::{Tun, TunOffloads},
};

#[test]
fn a_gso_batch_arrives_in_one_buffer_in_order() {
    for mut loopback in loopbacks() {
        let bytes = numbered_datagrams(11, 1000, 10_500);
        loopback.send(0, 1000, &bytes);
        let received = loopback.receive(1);
        assert_eq!((received[0].length, received[0].segment_size), (10_500, 1000));
        assert_eq!(loopback.bytes(&received[0]), bytes);
        assert!(!received[0].truncated);
    }
}

#[test]
fn a_gso_batch_arrives_as_datagrams_without_gro() {
    for mut loopback in loopbacks() {
        loopback.socket.set_gro(false).unwrap();
        let bytes = numbered_datagrams(11, 1000, 10_500);
        loopback.send(0, 1000, &bytes);
        for expected in bytes.chunks(1000) {
            // One by one, because each call reuses the buffer.
            let received = loopback.receive_one_datagram();
            assert_eq!(received.segment_size as usize, expected.len());
            assert_eq!(loopback.bytes(&received), expected);
        }
    }
}

#[test]
fn each_batch_carries_its_ds_byte() {
    for mut loopback in loopbacks() {
        for ds in [0, 1, 2, 3, 0xB8, 0xFF] {
            loopback.send(ds, 1000, &[7; 3000]);
            assert_eq!(loopback.receive(1)[0].ds, ds);
        }
    }
}

#[test]
fn one_call_sends_64_messages_in_order() {
    for mut loopback in loopbacks() {
        let payloads: Vec<_> = (0..70u8).map(|n| [n; 100]).collect();
        let messages: Vec<_> = payloads
            .iter()
            .map(|bytes| Outgoing { path: loopback.to_self(), ds: 0, segment_size: 0, bytes })
            .collect();
        assert_eq!(Sender::new().send(&loopback.socket, &messages).unwrap(), 64);
        for n in 0..64 {
            let received = loopback.receive_one_datagram();
            assert_eq!(loopback.bytes(&received), payloads[n as usize]);
        }
        assert!(loopback.is_empty());
    }
}

#[test]
fn a_reply_leaves_from_the_address_of_the_request() {
    let server = UdpSocket::bind(true, 0, 0).unwrap();
    let mut loopback = Loopback::new(server);
    let request_to = SocketAddr::from(([127, 0, 0, 9], loopback.port()));
    let client = Plain::bind("127.0.0.5:0").unwrap();
    client.send_to(b"?", request_to).unwrap();

    let request = loopback.receive(1)[0];
    assert_eq!(request.from.destination, client.local_addr().unwrap());
    let source = request.from.source.unwrap();
    assert_eq!(source.address, request_to.ip());
    assert_ne!(source.interface, 0);

    loopback.socket.send_one(&request.from, 0, b"one").unwrap();
    let batch = Outgoing { path: request.from, ds: 0, segment_size: 1, bytes: b"23" };
    Sender::new().send(&loopback.socket, &[batch]).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    for expected in [&b"one"[..], b"2", b"3"] {
        let mut bytes = [0; 8];
        let (length, from) = client.recv_from(&mut bytes).unwrap();
        assert_eq!((&bytes[..length], from), (expected, request_to));
    }
}

#[test]
fn ipv6_packet_info_names_the_local_address() {
    let Ok(socket) = UdpSocket::bind(false, 0, 0) else {
        eprintln!("skipped: no IPv6");
        return;
    };
    let mut loopback = Loopback::new(socket);
    loopback.send(0, 0, b"?");
    let request = loopback.receive(1)[0];
    assert_eq!(request.from.source.unwrap().address, IpAddr::V6(Ipv6Addr::LOCALHOST));
    loopback.socket.send_one(&request.from, 0, b"!").unwrap();
    let answer = loopback.receive(1)[0];
    assert_eq!(loopback.bytes(&answer), b"!");
}

#[test]
fn a_foreign_source_is_reported_as_gone() {
    for loopback in loopbacks() {
        let address = match loopback.socket.is_ipv4() {
            true => IpAddr::from([203, 0, 113, 7]),
            false => Ipv6Addr::new(0x2001, 0xDB8, 0, 0, 0, 0, 0, 7).into(),
        };
        let path = Path { source: Some(Source { address, interface: 0 }), ..loopback.to_self() };
        let error = loopback.socket.send_one(&path, 0, b"x").err().unwrap();
        assert_eq!(classify_send_failure(&error, false, true), SendFailure::SourceGone, "{error}");
    }
}

#[test]
fn a_pinned_source_leaves_by_the_interface_of_the_route() {
    in_own_namespace(|| {
        let [t0, t1] = [("t0", 0), ("t1", 1)].map(|(name, net)| {
            let tun = Tun::open(name, TunOffloads::default()).unwrap();
            set_address(name, Ipv4Addr::new(10, 99, net, 1));
            set_up(name, true);
            tun
        });
        let address = Ipv4Addr::new(10, 99, 1, 1);
        let source = Source { address: address.into(), interface: t1.index().unwrap() };
        let path = Path { source: Some(source), ..Path::to(([10, 99, 0, 2], 9).into()) };
        UdpSocket::bind(true, 0, 0).unwrap().send_one(&path, 0, b"x").unwrap();
        let mut buffer = [0; 2048];
        while let Some(length) = t0.read(&mut buffer).unwrap() {
            let packet = &buffer[10..length];
            if packet[0] >> 4 == 4 {
                assert_eq!(packet[12..16], address.octets());
                return;
            }
        }
        panic!("nothing left by t0");
    });
}

#[test]
fn too_many_segments_are_reported_as_gso_refused() {
    for loopback in loopbacks() {
        let bytes = [0; 129];
        let message = Outgoing { path: loopback.to_self(), ds: 0, segment_size: 1, bytes: &bytes };
        let error = Sender::new().send(&loopback.socket, &[message]).err().unwrap();
        assert_eq!(classify_send_failure(&error, true, false), SendFailure::GsoRefused, "{error}");
    }
}

#[test]
fn an_oversized_datagram_is_reported_as_path_mtu() {
    for loopback in loopbacks() {
        let error = loopback.socket.send_one(&loopback.to_self(), 0, &[0; 65_536]).err().unwrap();
        assert_eq!(classify_send_failure(&error, false, false), SendFailure::PathMtu, "{error}");
    }
}

#[test]
fn a_refused_message_ends_the_call_and_fails_the_next() {
    let mut loopback = Loopback::new(UdpSocket::bind(true, 0, 0).unwrap());
    let good = Outgoing { path: loopback.to_self(), ds: 0, segment_size: 0, bytes: b"good" };
    let bad = Outgoing { bytes: &[0; 65_536], ..good };
    let mut sender = Sender::new();
    assert_eq!(sender.send(&loopback.socket, &[good, bad, good]).unwrap(), 1);
    let error = sender.send(&loopback.socket, &[bad, good]).err().unwrap();
    assert_eq!(error.raw_os_error(), Some(libc::EMSGSIZE));
    assert_eq!(sender.send(&loopback.socket, &[good]).unwrap(), 1);
    for _ in 0..2 {
        let received = loopback.receive_one_datagram();
        assert_eq!(loopback.bytes(&received), b"good");
    }
}

#[test]
fn a_segment_above_the_route_mtu_is_refused() {
    in_own_namespace(|| {
        set_mtu("lo", 1280);
        for mut loopback in loopbacks() {
            let to_self = loopback.to_self();
            let bytes = [9; 2800];
            let message = Outgoing { path: to_self, ds: 0, segment_size: 1400, bytes: &bytes };
            let error = Sender::new().send(&loopback.socket, &[message]).err().unwrap();
            assert!(
                matches!(
                    classify_send_failure(&error, true, false),
                    SendFailure::PathMtu | SendFailure::GsoRefused
                ),
                "{error}"
            );
            assert_eq!(loopback.socket.route_mtu(&to_self).unwrap(), 1280);
            // Without GSO the kernel fragments: IP_PMTUDISC_WANT.
            loopback.socket.send_one(&to_self, 0, &bytes[..1400]).unwrap();
            assert_eq!(loopback.receive(1)[0].length, 1400);
        }
    });
}

#[test]
fn kernel_drops_belong_to_the_socket_that_had_them() {
    let mut full = Loopback::new(UdpSocket::bind(true, 0, 0).unwrap());
    full.socket.socket.set_recv_buffer_size(4096).unwrap();
    for _ in 0..50 {
        full.send(0, 0, &[0; 1000]);
    }
    while !full.is_empty() {}
    full.send(0, 0, b"after");
    full.receive(1);
    let drops = full.receiver.kernel_drops();
    assert!((1..50).contains(&drops), "{drops}");

    // The same receiver on another socket, which dropped nothing.
    let other = Loopback::new(UdpSocket::bind(true, 0, 0).unwrap());
    other.send(0, 0, b"x");
    full.socket = other.socket;
    full.receive(1);
    assert_eq!(full.receiver.kernel_drops(), 0);
}

#[test]
fn a_new_socket_is_empty() {
    for mut loopback in loopbacks() {
        assert!(loopback.is_empty());
    }
}

#[test]
fn a_pair_shares_one_port_exclusively() {
    let (v4, v6, port) = bind_pair(0, 0).unwrap();
    assert_eq!(v4.local_address().unwrap().map(|address| address.port()), Some(port));
    for socket in v6.iter() {
        assert_eq!(socket.local_address().unwrap().map(|address| address.port()), Some(port));
    }
    assert_eq!(bind_pair(port, 0).err().unwrap().kind(), ErrorKind::AddrInUse);
}

#[test]
fn a_port_taken_on_ipv6_only_is_in_use() {
    let Ok(taken) = UdpSocket::bind(false, 0, 0) else {
        eprintln!("skipped: no IPv6");
        return;
    };
    let port = taken.local_address().unwrap().map_or(0, |address| address.port());
    assert_eq!(bind_pair(port, 0).err().unwrap().kind(), ErrorKind::AddrInUse);
}

#[test]
fn from_fd_configures_the_socket_and_keeps_its_family() {
    let plain = Plain::bind("127.0.0.1:0").unwrap();
    let address = plain.local_addr().unwrap();
    let socket = UdpSocket::from_fd(plain.into()).unwrap();
    assert!(socket.is_ipv4());
    assert_eq!(socket.local_address().unwrap(), Some(address));
    assert_eq!(option::get(&socket.socket, libc::IPPROTO_IP, libc::IP_PKTINFO).unwrap(), 1);
    assert_eq!(
        option::get(&socket.socket, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER).unwrap(),
        libc::IP_PMTUDISC_WANT
    );
}

#[test]
fn from_fd_refuses_other_sockets() {
    let unix = UnixDatagram::unbound().unwrap();
    assert_eq!(UdpSocket::from_fd(unix.into()).err().unwrap().kind(), ErrorKind::InvalidInput);
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    assert_eq!(UdpSocket::from_fd(tcp.into()).err().unwrap().kind(), ErrorKind::InvalidInput);
}

#[test]
fn the_mark_is_set_or_permission_is_denied() {
    let socket = UdpSocket::bind(true, 0, 0).unwrap();
    match socket.set_fwmark(0xCA6C_0001) {
        Ok(()) => {
            assert_eq!(socket.socket.mark().unwrap(), 0xCA6C_0001);
        }
        Err(error) => assert_eq!(error.kind(), ErrorKind::PermissionDenied),
    }
}

#[test]
fn the_receive_buffer_is_as_requested_or_rmem_max() {
    let socket = UdpSocket::bind(true, 0, 0).unwrap();
    let allowed: usize =
        std::fs::read_to_string("/proc/sys/net/core/rmem_max").unwrap().trim().parse().unwrap();
    let granted = socket.receive_buffer_bytes().unwrap();
    assert!(granted == BUFFER_BYTES || granted == allowed, "{granted}");
}

/// A socket that sends to itself over loopback and receives with GRO.
struct Loopback {
    socket: UdpSocket,
    receiver: Receiver,
    buffer: Vec<u8>,
    /// Received by an earlier call, not returned yet.
    pending: std::collections::VecDeque<Received>,
}

/// One for each family that the machine has.
fn loopbacks() -> impl Iterator<Item = Loopback> {
    [true, false].into_iter().filter_map(|ipv4| match UdpSocket::bind(ipv4, 0, 0) {
        Ok(socket) => Some(Loopback::new(socket)),
        Err(error) => {
            assert!(!ipv4, "{error}");
            eprintln!("skipped for IPv6: {error}");
            None
        }
    })
}

impl Loopback {
    fn new(socket: UdpSocket) -> Self {
        socket.set_gro(true).unwrap();
        let buffer = vec![0; RECEIVE_BUFFER_LENGTH];
        Self { socket, receiver: Receiver::new(), buffer, pending: Default::default() }
    }

    fn port(&self) -> u16 {
        self.socket.local_address().unwrap().unwrap().port()
    }

    fn to_self(&self) -> Path {
        let ip = match self.socket.is_ipv4() {
            true => IpAddr::V4(Ipv4Addr::LOCALHOST),
            false => IpAddr::V6(Ipv6Addr::LOCALHOST),
        };
        Path::to((ip, self.port()).into())
    }

    fn send(&self, ds: u8, segment_size: usize, bytes: &[u8]) {
        let message = Outgoing { path: self.to_self(), ds, segment_size, bytes };
        assert_eq!(Sender::new().send(&self.socket, &[message]).unwrap(), 1);
    }

    /// Receives `count` messages with one call.
    fn receive(&mut self, count: usize) -> Vec<Received> {
        self.wait();
        let mut received = Vec::new();
        let returned =
            self.receiver.receive(&self.socket, &mut self.buffer, &mut received).unwrap();
        assert_eq!((returned, received.len()), (count, count));
        received
    }

    /// Returns the next datagram, however many a call receives.
    fn receive_one_datagram(&mut self) -> Received {
        if self.pending.is_empty() {
            self.wait();
            let mut received = Vec::new();
            self.receiver.receive(&self.socket, &mut self.buffer, &mut received).unwrap();
            self.pending.extend(received);
        }
        self.pending.pop_front().unwrap()
    }

    fn is_empty(&mut self) -> bool {
        let mut received = Vec::new();
        self.receiver.receive(&self.socket, &mut self.buffer, &mut received).unwrap() == 0
    }

    fn wait(&self) {
        let epoll = Epoll::new().unwrap();
        epoll.add(self.socket.as_fd(), 0, EventFlags::IN).unwrap();
        let mut ready = Vec::new();
        epoll.wait(Some(Duration::from_secs(5)), &mut ready).unwrap();
        assert!(!ready.is_empty(), "nothing arrived");
    }

    fn bytes(&self, received: &Received) -> &[u8] {
        &self.buffer[received.offset as usize..][..received.length as usize]
    }
}

/// Returns datagrams of one length, the last one shorter, each filled with its number.
fn numbered_datagrams(count: usize, length: usize, total: usize) -> Vec<u8> {
    assert_eq!(total.div_ceil(length), count);
    (0..total).map(|i| (i / length) as u8).collect()
}
