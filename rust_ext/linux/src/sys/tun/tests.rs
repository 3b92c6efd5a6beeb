use std::{
    io::ErrorKind,
    net::{Ipv4Addr, SocketAddr, UdpSocket as Plain},
    os::fd::OwnedFd,
    time::Duration,
};

use pyfw_core::{
    packet::virtio::{GSO_NONE, GSO_UDP_L4, NEEDS_CSUM, VirtioHeader},
    wireguard::path::Path,
};

use super::*;
use crate::sys::{
    namespace::{in_own_namespace, set_address, set_mtu, set_up},
    udp::{Outgoing, Sender, UdpSocket},
};

const HERE: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 1);
const THERE: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 2);
const NONE: TunOffloads = TunOffloads { tso4: false, tso6: false, uso4: false, uso6: false };

#[test]
fn tso_is_granted_and_uso_for_both_families_or_none() {
    in_own_namespace(|| {
        let tun = Tun::open("t0", TunOffloads::ALL).unwrap();
        let granted = tun.granted();
        assert!(granted.tso4 && granted.tso6, "TSO is older than any kernel we meet");
        assert_eq!(granted.uso4, granted.uso6);
    });
}

#[test]
fn uso_for_one_family_is_refused_and_leaves_tso() {
    in_own_namespace(|| {
        let tun = Tun::open("t0", TunOffloads { uso6: false, ..TunOffloads::ALL }).unwrap();
        assert_eq!(tun.granted(), TunOffloads { tso4: true, tso6: true, ..NONE });
    });
}

#[test]
fn offloads_can_be_turned_off_at_run_time() {
    in_own_namespace(|| {
        let tun = Tun::open("t0", TunOffloads::ALL).unwrap();
        assert_eq!(tun.set_offloads(NONE).unwrap(), NONE);
        assert_eq!(tun.granted(), NONE);
    });
}

#[test]
fn a_tun_in_use_is_refused_with_a_hint() {
    in_own_namespace(|| {
        let first = Tun::open("t0", NONE).unwrap();
        let error = Tun::open("t0", NONE).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::ResourceBusy);
        assert!(error.to_string().contains("another process"), "{error}");
        assert_eq!(first.read(&mut [0; 2048]).unwrap(), None, "the first one still works");
    });
}

#[test]
fn errors_keep_the_kernels_text_and_add_a_hint() {
    for (errno, kind, hint) in [
        (libc::ENOENT, ErrorKind::NotFound, "modprobe tun"),
        (libc::EPERM, ErrorKind::PermissionDenied, "CAP_NET_ADMIN"),
        (libc::EACCES, ErrorKind::PermissionDenied, "CAP_NET_ADMIN"),
    ] {
        let system = io::Error::from_raw_os_error(errno);
        let (kernel_text, error) =
            (system.to_string(), explain("cannot create the TUN t0", system));
        assert_eq!(error.kind(), kind);
        let text = error.to_string();
        assert!(text.contains(&kernel_text) && text.contains(hint), "{text}");
    }
}

#[test]
fn the_name_of_another_kind_of_interface_is_refused() {
    in_own_namespace(|| {
        let error = Tun::open("lo", NONE).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("another kind"), "{error}");
    });
}

#[test]
fn invalid_names_never_reach_the_kernel() {
    for name in ["", ".", "..", "a/b", "a b", "a:b", "a\0b", "sixteen-bytes-xx"] {
        let error = Tun::open(name, NONE).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("not an interface name"), "{error}");
    }
}

#[test]
fn a_descriptor_that_is_not_a_tun_is_refused() {
    let socket = OwnedFd::from(Plain::bind("127.0.0.1:0").unwrap());
    let error = Tun::attach(socket, NONE).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("not a TUN"), "{error}");
}

#[test]
fn attach_keeps_the_name_and_the_index() {
    in_own_namespace(|| {
        let opened = Tun::open("t%d", NONE).unwrap();
        let (name, index) = (opened.name().to_owned(), opened.index().unwrap());
        let attached = Tun::attach(opened.into_fd(), TunOffloads::ALL).unwrap();
        assert_eq!((attached.name(), attached.index().unwrap()), ("t0", index));
        assert_eq!(name, "t0");
        assert!(!attached.is_persistent().unwrap());
    });
}

#[test]
fn a_datagram_is_read_behind_its_virtio_header() {
    in_own_namespace(|| {
        let tun = open_up(NONE);
        let socket = Plain::bind((HERE, 0)).unwrap();
        socket.send_to(b"hello", (THERE, 9)).unwrap();
        let (header, packet) = read_datagram(&tun).unwrap();
        assert_eq!((header.flags, header.gso_type), (NEEDS_CSUM, GSO_NONE));
        assert_eq!((header.checksum_start, header.checksum_offset), (20, 6));
        assert_eq!(&packet[28..], b"hello");
        assert!(read_datagram(&tun).is_none());
    });
}

#[test]
fn a_packet_in_two_slices_arrives_whole() {
    in_own_namespace(|| {
        let tun = open_up(NONE);
        let socket = Plain::bind((HERE, 0)).unwrap();
        let to = socket.local_addr().unwrap().port();
        let mut buffer = vec![0xAA; 64];
        let packet = datagram(7, to, b"in two slices");
        let (head, rest) = packet.split_at(30);
        buffer.extend_from_slice(rest);
        buffer.extend_from_slice(head);
        let (rest, head) = (rest.len() as u32, head.len() as u32);
        let slices =
            [Slice { offset: 64 + rest, length: head }, Slice { offset: 64, length: rest }];
        tun.write(&[0; VIRTIO_HEADER_LENGTH], &buffer, &slices).unwrap();
        assert_eq!(receive(&socket), (b"in two slices".to_vec(), (THERE, 7).into()));
    });
}

#[test]
fn uso_reads_a_batch_as_one_frame_else_as_datagrams() {
    in_own_namespace(|| {
        let tun = open_up(TunOffloads::ALL);
        if !tun.granted().uso4 {
            eprintln!("skipped: this kernel has no USO");
            return;
        }
        let socket = UdpSocket::bind(true, 0, 0).unwrap();
        let path = Path::to((THERE, 9).into());
        let bytes = numbered_datagrams(10, 1000);
        let batch = [Outgoing { path, ds: 0, segment_size: 1000, bytes: &bytes }];
        let mut sender = Sender::new();

        assert_eq!(sender.send(&socket, &batch).unwrap(), 1);
        let (header, packet) = read_datagram(&tun).unwrap();
        assert_eq!((header.gso_type, header.gso_size), (GSO_UDP_L4, 1000));
        assert_eq!(&packet[28..], bytes);

        tun.set_offloads(TunOffloads { uso4: false, uso6: false, ..TunOffloads::ALL }).unwrap();
        assert_eq!(sender.send(&socket, &batch).unwrap(), 1);
        for expected in bytes.chunks(1000) {
            let (header, packet) = read_datagram(&tun).unwrap();
            assert_eq!(header.gso_type, GSO_NONE);
            assert_eq!(&packet[28..], expected);
        }
        assert!(read_datagram(&tun).is_none());
    });
}

#[test]
fn a_frame_of_257_slices_is_written_in_one_call() {
    in_own_namespace(|| {
        let tun = open_up(NONE);
        let socket = Plain::bind((HERE, 0)).unwrap();
        let packet = datagram(7, socket.local_addr().unwrap().port(), &numbered_datagrams(1, 1024));
        let slices: Vec<_> = packet
            .chunks(packet.len().div_ceil(256))
            .scan(0, |offset, bytes| {
                let slice = Slice { offset: *offset, length: bytes.len() as u32 };
                *offset += slice.length;
                Some(slice)
            })
            .collect();
        tun.write(&[0; VIRTIO_HEADER_LENGTH], &packet, &slices).unwrap();
        assert_eq!(receive(&socket).0, numbered_datagrams(1, 1024));
    });
}

#[test]
fn more_slices_than_the_kernel_takes_are_an_error() {
    in_own_namespace(|| {
        let tun = open_up(NONE);
        let slices = [Slice { offset: 0, length: 1 }; 1024];
        let error = tun.write(&[0; VIRTIO_HEADER_LENGTH], &[0; 1], &slices).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    });
}

#[test]
fn a_wrong_header_is_einval_and_a_link_down_is_eio() {
    in_own_namespace(|| {
        let tun = open_up(NONE);
        let packet = datagram(7, 9, b"x");
        let whole = [Slice { offset: 0, length: packet.len() as u32 }];
        let wrong = VirtioHeader { flags: NEEDS_CSUM, checksum_start: 9999, ..Default::default() };
        let errno = |header: [u8; 10]| {
            tun.write(&header, &packet, &whole).err().and_then(|error| error.raw_os_error())
        };
        assert_eq!(errno(wrong.write()), Some(libc::EINVAL));
        assert_eq!(errno([0; 10]), None);
        set_up("t0", false);
        assert_eq!(errno([0; 10]), Some(libc::EIO));
    });
}

/// Opens a TUN with an address, sets it up, and so makes the kernel route THERE to it.
fn open_up(offloads: TunOffloads) -> Tun {
    let tun = Tun::open("t0", offloads).unwrap();
    set_address("t0", HERE);
    set_mtu("t0", 1420);
    set_up("t0", true);
    tun
}

/// Reads the next datagram to THERE; skips others, as a new link's IPv6 router solicitations.
fn read_datagram(tun: &Tun) -> Option<(VirtioHeader, Vec<u8>)> {
    let mut buffer = vec![0; 70_000];
    while let Some(length) = tun.read(&mut buffer).unwrap() {
        let header = VirtioHeader::read(&buffer).unwrap();
        let packet = &buffer[VIRTIO_HEADER_LENGTH..length];
        if packet[0] >> 4 == 4 && packet[9] == 17 && packet[16..20] == THERE.octets() {
            return Some((header, packet.to_vec()));
        }
    }
    None
}

fn receive(socket: &Plain) -> (Vec<u8>, SocketAddr) {
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut buffer = [0; 2048];
    let (length, from) = socket.recv_from(&mut buffer).unwrap();
    (buffer[..length].to_vec(), from)
}

/// Returns `count` datagrams, each filled with its number.
fn numbered_datagrams(count: usize, length: usize) -> Vec<u8> {
    (0..count * length).map(|i| (i / length) as u8).collect()
}

/// Returns an IPv4 UDP packet from THERE to HERE, without a UDP checksum (RFC 768: 0 is none).
fn datagram(from: u16, to: u16, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 17, 0, 0];
    packet.extend(THERE.octets());
    packet.extend(HERE.octets());
    packet.extend(from.to_be_bytes());
    packet.extend(to.to_be_bytes());
    packet.extend((8 + payload.len() as u16).to_be_bytes());
    packet.extend([0, 0]);
    packet.extend(payload);
    let total = (packet.len() as u16).to_be_bytes();
    packet[2..4].copy_from_slice(&total);
    let sum: u32 =
        packet[..20].chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    let sum = !((sum >> 16) + (sum & 0xFFFF)) as u16;
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet
}
