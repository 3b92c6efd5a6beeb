use std::net::{SocketAddr, UdpSocket as Plain};

use pyfw_core::{
    aead::{Aead, Slot, TransportKey},
    inbound::{Inbound, coalesce::CoalesceOptions},
    wireguard::{
        commands::{InboundCommand, ReceiveSession},
        peer::{Activity, PeerId},
    },
};

use super::*;
use crate::{
    engine::{inbound_worker::InboundWorker, shared::Sockets},
    sys::{
        namespace::in_own_namespace,
        tun::{Tun, TunOffloads},
        udp::bind_pair,
    },
};

#[test]
fn a_posted_session_is_installed_before_the_datagram() {
    in_own_namespace(|| {
        let (thread, to) = inbound_thread();
        post_session(&thread.handle, 1);
        Plain::bind("127.0.0.1:0").unwrap().send_to(&keepalive(0), to).unwrap();

        let plane = thread.handle.lock();
        let socket = SocketId { is_ipv4: true, is_retired: false };
        assert!(thread.drain_socket(plane, socket, &mut Vec::new(), &mut 2).unwrap().is_some());
        let counts = thread.shared.datagrams.read();
        assert_eq!((counts.received, counts.keepalives), (1, 1), "{counts:?}");
    });
}

#[test]
fn the_old_port_is_read_for_a_moment_then_freed() {
    in_own_namespace(|| {
        let (thread, old) = inbound_thread();
        let (handle, shared) = (Arc::clone(&thread.handle), Arc::clone(&thread.shared));
        post_session(&handle, clock::boottime_ns());
        let running = std::thread::spawn(move || thread.run());
        let from = Plain::bind("127.0.0.1:0").unwrap();
        let received = || shared.datagrams.read().keepalives;

        let (v4, v6, port) = bind_pair(0, 0).unwrap();
        handle.commands.post([DataCommand::Rebind(Arc::new(Sockets { v4, v6 }))]);
        until("the sockets are replaced", || handle.commands.is_empty());
        from.send_to(&keepalive(0), old).unwrap();
        until("the old port is read", || received() == 1);
        from.send_to(&keepalive(1), SocketAddr::from(([127, 0, 0, 1], port))).unwrap();
        until("the new port is read", || received() == 2);
        // Nothing else arrives that would wake the thread.
        until("the old port is free", || Plain::bind(("0.0.0.0", old.port())).is_ok());

        handle.commands.post([DataCommand::Stop]);
        running.join().unwrap().unwrap();
    });
}

fn until(what: &str, condition: impl Fn() -> bool) {
    let started = std::time::Instant::now();
    while !condition() {
        assert!(started.elapsed().as_secs() < 5, "{what}");
        std::thread::yield_now();
    }
}

/// Posts the session that decrypts `keepalive`.
fn post_session(handle: &DataPlaneHandle, created_ns: u64) {
    let peer = PeerId(0);
    let session =
        ReceiveSession { key: [1; 32].into(), peer, local_index: 7, created_ns, initiator: false };
    handle.commands.post(
        [
            InboundCommand::AddPeer { peer, activity: Arc::new(Activity::default()) },
            InboundCommand::Install { session, next: None },
        ]
        .map(DataCommand::Inbound),
    );
}

fn keepalive(counter: u8) -> [u8; 32] {
    let mut message = [0; 32];
    (message[0], message[4], message[8]) = (4, 7, counter);
    message
}

/// Returns the inbound one of two data threads, and the address of its socket.
fn inbound_thread() -> (DataThread, SocketAddr) {
    let shared =
        Arc::new(Shared::new(Tun::open("t0", TunOffloads::default()).unwrap(), None).unwrap());
    let options = CoalesceOptions { tcp4: true, tcp6: true, udp: true, psh_closes: false };
    let (counts, datagrams) = (Arc::clone(&shared.inbound), Arc::clone(&shared.datagrams));
    let inbound = Inbound::new(Box::new(Plaintext), options, 1, counts, datagrams);
    let (v4, v6, port) = bind_pair(0, 0).unwrap();
    let plane = DataPlane {
        outbound: None,
        inbound: Some(InboundWorker::new(inbound, options)),
        sockets: Arc::new(Sockets { v4, v6 }),
        retired: None,
        other_thread: None,
        mtu: 1420,
        stop: false,
    };
    let thread = DataThread {
        shared,
        handle: Arc::new(DataPlaneHandle::new(plane).unwrap()),
        generation: 0,
    };
    (thread, SocketAddr::from(([127, 0, 0, 1], port)))
}

struct Plaintext;

impl Aead for Plaintext {
    fn name(&self) -> &'static str {
        "none"
    }

    fn seal(&mut self, _: &TransportKey, _: &mut [u8], _: &[Slot]) {}

    fn open(&mut self, _: &TransportKey, _: &mut [u8], _: &[Slot], opened: &mut [bool]) {
        opened.fill(true);
    }
}
