use std::{
    io::ErrorKind,
    net::{IpAddr, SocketAddr, UdpSocket as Plain},
    os::unix::net::UnixDatagram,
};

use pyfw_core::{
    inbound::udp_ingress::Received,
    wireguard::path::{Path, Source},
};

use super::*;
use crate::sys::{
    epoll::{Epoll, Interest},
    namespace::{in_own_namespace, set_address, set_mtu, set_up},
    tun::{Tun, TunOffloads},
};

#[test]
fn a_gso_batch_arrives_in_one_buffer_in_order() {
    for mut end in ends() {
        let bytes = numbered(11, 1000, 10_500);
        end.send(0, 1000, &bytes);
        let received = end.receive(1);
        assert_eq!((received[0].length, received[0].segment_size), (10_500, 1000));
        assert_eq!(end.bytes(&received[0]), bytes);
        assert!(!received[0].truncated);
    }
}

#[test]
fn a_gso_batch_arrives_as_datagrams_where_gro_is_off() {
    for mut end in ends() {
        end.socket.set_gro(false).unwrap();
        let bytes = numbered(11, 1000, 10_500);
        end.send(0, 1000, &bytes);
        for expected in bytes.chunks(1000) {
            // One by one, because the buffer is used again by each call.
            let received = end.receive_one_datagram();
            assert_eq!(received.segment_size as usize, expected.len());
            assert_eq!(end.bytes(&received), expected);
        }
    }
}

#[test]
fn the_ds_byte_goes_with_each_batch() {
    for mut end in ends() {
        for ds in [0, 1, 2, 3, 0xB8, 0xFF] {
            end.send(ds, 1000, &[7; 3000]);
            assert_eq!(end.receive(1)[0].ds, ds);
        }
    }
}

#[test]
fn sixty_four_messages_leave_in_one_call_and_in_order() {
    for mut end in ends() {
        let payloads: Vec<_> = (0..70u8).map(|n| [n; 100]).collect();
        let messages: Vec<_> = payloads
            .iter()
            .map(|bytes| Outgoing { path: end.to_self(), ds: 0, segment_size: 0, bytes })
            .collect();
        assert_eq!(Sender::new().send(&end.socket, &messages).unwrap(), 64);
        for n in 0..64 {
            let received = end.receive_one_datagram();
            assert_eq!(end.bytes(&received), payloads[n as usize]);
        }
        assert!(end.nothing_waits());
    }
}

#[test]
fn a_reply_leaves_from_the_address_that_was_asked() {
    let server = UdpSocket::bind(true, 0, 0).unwrap();
    let mut end = End::new(server);
    let asked = SocketAddr::from(([127, 0, 0, 9], end.port()));
    let client = Plain::bind("127.0.0.5:0").unwrap();
    client.send_to(b"?", asked).unwrap();

    let question = end.receive(1)[0];
    assert_eq!(question.from.destination, client.local_addr().unwrap());
    let source = question.from.source.unwrap();
    assert_eq!(source.address, asked.ip());
    assert_ne!(source.interface, 0);

    end.socket.send_one(&question.from, 0, b"one").unwrap();
    let batch = Outgoing { path: question.from, ds: 0, segment_size: 1, bytes: b"23" };
    Sender::new().send(&end.socket, &[batch]).unwrap();
    client.set_read_timeout(Some(std::time::Duration::from_secs(5))).unwrap();
    for expected in [&b"one"[..], b"2", b"3"] {
        let mut bytes = [0; 8];
        let (length, from) = client.recv_from(&mut bytes).unwrap();
        assert_eq!((&bytes[..length], from), (expected, asked));
    }
}

#[test]
fn ipv6_names_the_address_that_was_asked_too() {
    let Ok(socket) = UdpSocket::bind(false, 0, 0) else {
        eprintln!("skipped: no IPv6");
        return;
    };
    let mut end = End::new(socket);
    end.send(0, 0, b"?");
    let question = end.receive(1)[0];
    assert_eq!(question.from.source.unwrap().address, IpAddr::V6(Ipv6Addr::LOCALHOST));
    end.socket.send_one(&question.from, 0, b"!").unwrap();
    let answer = end.receive(1)[0];
    assert_eq!(end.bytes(&answer), b"!");
}

#[test]
fn a_source_that_is_not_ours_is_gone() {
    for end in ends() {
        let address = match end.socket.is_ipv4() {
            true => IpAddr::from([203, 0, 113, 7]),
            false => Ipv6Addr::new(0x2001, 0xDB8, 0, 0, 0, 0, 0, 7).into(),
        };
        let path = Path { source: Some(Source { address, interface: 0 }), ..end.to_self() };
        let error = end.socket.send_one(&path, 0, b"x").err().unwrap();
        assert_eq!(classify_send_failure(&error, false, true), SendFailure::SourceGone, "{error}");
    }
}

#[test]
fn a_pinned_source_leaves_by_the_interface_that_the_route_names() {
    in_own_namespace(|| {
        let [towards, asked] = [("t0", 0), ("t1", 1)].map(|(name, net)| {
            let tun = Tun::open(name, TunOffloads::default()).unwrap();
            set_address(name, Ipv4Addr::new(10, 99, net, 1));
            set_up(name, true);
            tun
        });
        let address = Ipv4Addr::new(10, 99, 1, 1);
        let source = Source { address: address.into(), interface: asked.index().unwrap() };
        let path = Path { source: Some(source), ..Path::to(([10, 99, 0, 2], 9).into()) };
        UdpSocket::bind(true, 0, 0).unwrap().send_one(&path, 0, b"x").unwrap();
        let mut buffer = [0; 2048];
        while let Some(length) = towards.read(&mut buffer).unwrap() {
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
fn more_segments_than_the_kernel_takes_are_refused_as_gso() {
    for end in ends() {
        let bytes = [0; 129];
        let message = Outgoing { path: end.to_self(), ds: 0, segment_size: 1, bytes: &bytes };
        let error = Sender::new().send(&end.socket, &[message]).err().unwrap();
        assert_eq!(classify_send_failure(&error, true, false), SendFailure::GsoRefused, "{error}");
    }
}

#[test]
fn a_datagram_that_no_packet_carries_is_too_long() {
    for end in ends() {
        let error = end.socket.send_one(&end.to_self(), 0, &[0; 65_536]).err().unwrap();
        assert_eq!(classify_send_failure(&error, false, false), SendFailure::PathMtu, "{error}");
    }
}

#[test]
fn the_first_refused_message_ends_the_call_and_is_named_by_the_next() {
    let mut end = End::new(UdpSocket::bind(true, 0, 0).unwrap());
    let good = Outgoing { path: end.to_self(), ds: 0, segment_size: 0, bytes: b"good" };
    let bad = Outgoing { bytes: &[0; 65_536], ..good };
    let mut sender = Sender::new();
    assert_eq!(sender.send(&end.socket, &[good, bad, good]).unwrap(), 1);
    let error = sender.send(&end.socket, &[bad, good]).err().unwrap();
    assert_eq!(error.raw_os_error(), Some(libc::EMSGSIZE));
    assert_eq!(sender.send(&end.socket, &[good]).unwrap(), 1);
    for _ in 0..2 {
        let received = end.receive_one_datagram();
        assert_eq!(end.bytes(&received), b"good");
    }
}

#[test]
fn a_segment_above_the_routes_mtu_is_refused_and_the_route_says_how_much_fits() {
    in_own_namespace(|| {
        set_mtu("lo", 1280);
        for mut end in ends() {
            let to_self = end.to_self();
            let bytes = [9; 2800];
            let message = Outgoing { path: to_self, ds: 0, segment_size: 1400, bytes: &bytes };
            let error = Sender::new().send(&end.socket, &[message]).err().unwrap();
            assert!(
                matches!(
                    classify_send_failure(&error, true, false),
                    SendFailure::PathMtu | SendFailure::GsoRefused
                ),
                "{error}"
            );
            assert_eq!(end.socket.route_mtu(&to_self).unwrap(), 1280);
            // Without GSO the kernel fragments: IP_PMTUDISC_WANT.
            end.socket.send_one(&to_self, 0, &bytes[..1400]).unwrap();
            assert_eq!(end.receive(1)[0].length, 1400);
        }
    });
}

#[test]
fn drops_at_a_full_buffer_are_told_of_the_socket_that_had_them() {
    let mut full = End::new(UdpSocket::bind(true, 0, 0).unwrap());
    full.socket.set(libc::SOL_SOCKET, libc::SO_RCVBUF, 4096).unwrap();
    for _ in 0..50 {
        full.send(0, 0, &[0; 1000]);
    }
    while !full.nothing_waits() {}
    full.send(0, 0, b"after");
    full.receive(1);
    let drops = full.receiver.kernel_drops();
    assert!((1..50).contains(&drops), "{drops}");

    // The same receiver at another socket, which lost nothing.
    let other = End::new(UdpSocket::bind(true, 0, 0).unwrap());
    other.send(0, 0, b"x");
    full.socket = other.socket;
    full.receive(1);
    assert_eq!(full.receiver.kernel_drops(), 0);
}

#[test]
fn nothing_waits_at_a_new_socket() {
    for mut end in ends() {
        assert!(end.nothing_waits());
    }
}

#[test]
fn a_pair_has_one_port_which_nobody_else_gets() {
    let (v4, v6, port) = bind_pair(0, 0).unwrap();
    assert_eq!(v4.local_address().unwrap().map(|address| address.port()), Some(port));
    for socket in v6.iter() {
        assert_eq!(socket.local_address().unwrap().map(|address| address.port()), Some(port));
    }
    assert_eq!(bind_pair(port, 0).err().unwrap().kind(), ErrorKind::AddrInUse);
}

#[test]
fn a_port_taken_on_ipv6_alone_is_in_use() {
    let Ok(taken) = UdpSocket::bind(false, 0, 0) else {
        eprintln!("skipped: no IPv6");
        return;
    };
    let port = taken.local_address().unwrap().map_or(0, |address| address.port());
    assert_eq!(bind_pair(port, 0).err().unwrap().kind(), ErrorKind::AddrInUse);
}

#[test]
fn a_socket_handed_over_is_configured_and_keeps_its_family() {
    let plain = Plain::bind("127.0.0.1:0").unwrap();
    let address = plain.local_addr().unwrap();
    let socket = UdpSocket::from_fd(plain.into()).unwrap();
    assert!(socket.is_ipv4());
    assert_eq!(socket.local_address().unwrap(), Some(address));
    assert_eq!(socket.get(libc::IPPROTO_IP, libc::IP_PKTINFO).unwrap(), 1);
    assert_eq!(
        socket.get(libc::IPPROTO_IP, libc::IP_MTU_DISCOVER).unwrap(),
        libc::IP_PMTUDISC_WANT
    );
}

#[test]
fn what_is_no_udp_socket_is_refused() {
    let unix = UnixDatagram::unbound().unwrap();
    assert_eq!(UdpSocket::from_fd(unix.into()).err().unwrap().kind(), ErrorKind::InvalidInput);
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    assert_eq!(UdpSocket::from_fd(tcp.into()).err().unwrap().kind(), ErrorKind::InvalidInput);
}

#[test]
fn the_mark_is_set_or_refused() {
    let socket = UdpSocket::bind(true, 0, 0).unwrap();
    match socket.set_fwmark(0xCA6C_0001) {
        Ok(()) => {
            let mark = socket.get(libc::SOL_SOCKET, libc::SO_MARK).unwrap();
            assert_eq!(mark as u32, 0xCA6C_0001);
        }
        Err(error) => assert_eq!(error.kind(), ErrorKind::PermissionDenied),
    }
}

#[test]
fn the_receive_buffer_is_what_was_asked_or_what_the_system_allows() {
    let socket = UdpSocket::bind(true, 0, 0).unwrap();
    let allowed: usize =
        std::fs::read_to_string("/proc/sys/net/core/rmem_max").unwrap().trim().parse().unwrap();
    let granted = socket.receive_buffer_bytes().unwrap();
    assert!(granted == BUFFER_BYTES as usize || granted == allowed, "{granted}");
}

/// A socket that sends to itself over loopback, and receives with GRO.
struct End {
    socket: UdpSocket,
    receiver: Receiver,
    buffer: Vec<u8>,
    /// Received together with others, not asked for yet.
    waiting: std::collections::VecDeque<Received>,
}

/// One for each family that is to be had.
fn ends() -> impl Iterator<Item = End> {
    [true, false].into_iter().filter_map(|ipv4| match UdpSocket::bind(ipv4, 0, 0) {
        Ok(socket) => Some(End::new(socket)),
        Err(error) => {
            assert!(!ipv4, "{error}");
            eprintln!("skipped for IPv6: {error}");
            None
        }
    })
}

impl End {
    fn new(socket: UdpSocket) -> Self {
        socket.set_gro(true).unwrap();
        let buffer = vec![0; RECEIVE_BUFFER_LENGTH];
        Self { socket, receiver: Receiver::new(), buffer, waiting: Default::default() }
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

    /// One call that gives `count` messages.
    fn receive(&mut self, count: usize) -> Vec<Received> {
        self.wait();
        let mut received = Vec::new();
        let told = self.receiver.receive(&self.socket, &mut self.buffer, &mut received).unwrap();
        assert_eq!((told, received.len()), (count, count));
        received
    }

    /// The next datagram, however many a call gives.
    fn receive_one_datagram(&mut self) -> Received {
        if self.waiting.is_empty() {
            self.wait();
            let mut received = Vec::new();
            self.receiver.receive(&self.socket, &mut self.buffer, &mut received).unwrap();
            self.waiting.extend(received);
        }
        self.waiting.pop_front().unwrap()
    }

    fn nothing_waits(&mut self) -> bool {
        let mut received = Vec::new();
        self.receiver.receive(&self.socket, &mut self.buffer, &mut received).unwrap() == 0
    }

    fn wait(&self) {
        let epoll = Epoll::new().unwrap();
        epoll.add(self.socket.as_fd(), 0, Interest::READ).unwrap();
        let mut ready = Vec::new();
        epoll.wait(Some(5000), &mut ready).unwrap();
        assert!(ready.iter().any(|event| event.readable), "nothing came");
    }

    fn bytes(&self, received: &Received) -> &[u8] {
        &self.buffer[received.offset as usize..][..received.length as usize]
    }
}

/// Datagrams of one length, the last one shorter, each filled with its number.
fn numbered(count: usize, length: usize, total: usize) -> Vec<u8> {
    assert_eq!(total.div_ceil(length), count);
    (0..total).map(|i| (i / length) as u8).collect()
}
