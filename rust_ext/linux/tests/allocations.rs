//! Sending, waiting and receiving allocate nothing after set-up.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::fd::AsFd,
    time::Duration,
};

use pyfw_core::wireguard::path::Path;
use pyfw_linux::sys::{
    epoll::{Epoll, EventFlags},
    udp::{Outgoing, RECEIVE_BUFFER_LENGTH, Receiver, Sender, UdpSocket},
};

/// The system's allocator, counting the allocations of each thread.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: each call goes to the system's allocator unchanged, and the counter needs no memory.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller upholds the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller upholds the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

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
        let before = ALLOCATIONS.get();
        for _ in 0..50 {
            sender.send(&socket, &[batch; 2]).unwrap();
            ready.clear();
            epoll.wait(Some(Duration::from_secs(5)), &mut ready).unwrap();
            while {
                received.clear();
                receiver.receive(&socket, &mut buffer, &mut received).unwrap() > 0
            } {
                arrived += received.iter().map(|message| message.length as usize).sum::<usize>();
            }
        }
        assert_eq!(ALLOCATIONS.get() - before, 0);
        assert!(arrived >= bytes.len(), "only {arrived} bytes arrived");
    }
}
