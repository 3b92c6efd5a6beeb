//! Sending, waiting and receiving allocate nothing after set-up.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::fd::AsFd,
    time::Duration,
};

use pyfw_core::wireguard::path::Path;
use pyfw_linux::sys::{
    epoll::{Epoll, EventFlags},
    udp::{Outgoing, RECEIVE_BUFFER_LENGTH, Receiver, Sender, UdpSocket},
};
use pyfw_testkit::allocator::{CountingAllocator, allocations_of};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

#[test]
fn sending_waiting_and_receiving_do_not_allocate() {
    for (ipv4, ip) in
        [(true, IpAddr::V4(Ipv4Addr::LOCALHOST)), (false, IpAddr::V6(Ipv6Addr::LOCALHOST))]
    {
        let Ok(socket) = UdpSocket::bind(ipv4, 0, 0) else {
            assert!(!ipv4);
            eprintln!("skipped for IPv6: the machine has none");
            continue;
        };
        socket.set_gro(true).unwrap();
        let port = socket.local_address().unwrap().unwrap().port();
        let bytes = vec![7; 45 * 1400];
        let path = Path::to((ip, port).into());
        let batch = Outgoing { path, ds: 2, segment_size: 1400, bytes: &bytes };
        let (mut sender, mut receiver) = (Sender::new(), Receiver::new());
        let mut buffer = vec![0; RECEIVE_BUFFER_LENGTH];
        let mut received = Vec::with_capacity(4);
        let epoll = Epoll::new().unwrap();
        epoll.add(socket.as_fd(), 0, EventFlags::IN).unwrap();
        let mut ready = Vec::with_capacity(8);

        let mut arrived = 0;
        let allocations = allocations_of(|| {
            for _ in 0..50 {
                sender.send(&socket, &[batch; 2]).unwrap();
                ready.clear();
                epoll.wait(Some(Duration::from_secs(5)), &mut ready).unwrap();
                while {
                    received.clear();
                    receiver.receive(&socket, &mut buffer, &mut received).unwrap() > 0
                } {
                    arrived +=
                        received.iter().map(|message| message.length as usize).sum::<usize>();
                }
            }
        });
        assert_eq!(allocations, 0);
        assert!(arrived >= bytes.len(), "only {arrived} bytes arrived");
    }
}
