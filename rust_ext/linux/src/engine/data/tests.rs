use std::net::{SocketAddr, UdpSocket as Plain};

use pyfw_core::{
    aead::{Aead, Slot, TransportKey},
    coalesce::CoalesceOptions,
    exchange::{InboundCommand, ReceiveSession},
    inbound::Inbound,
    peer::{Activity, PeerId},
};

use super::*;
use crate::{
    engine::{inbound_worker::InboundWorker, shared::Sockets},
    namespace::in_own_namespace,
    tun::{Tun, TunOffloads},
    udp::bind_pair,
};

#[test]
fn a_session_that_was_posted_first_opens_a_datagram_that_is_served_first() {
    in_own_namespace(|| {
        let (thread, to) = inbound_thread();
        let peer = PeerId(0);
        let session = ReceiveSession {
            key: [1; 32].into(),
            peer,
            local_index: 7,
            created_ns: 1,
            initiator: false,
        };
        thread.seat.commands.post(
            [
                InboundCommand::AddPeer { peer, activity: Arc::new(Activity::default()) },
                InboundCommand::Install { session, next: None },
            ]
            .map(DataCommand::Inbound),
        );
        let mut keepalive = [0; 32];
        (keepalive[0], keepalive[4]) = (4, 7);
        Plain::bind("127.0.0.1:0").unwrap().send_to(&keepalive, to).unwrap();

        let paths = thread.seat.lock();
        assert!(thread.serve_socket(paths, UDP_V4, &mut Vec::new(), 2).unwrap().is_some());
        let counts = thread.shared.datagrams.read();
        assert_eq!((counts.received, counts.keepalives), (1, 1), "{counts:?}");
    });
}

/// The second of two threads, and the address of its socket.
fn inbound_thread() -> (DataThread, SocketAddr) {
    let shared =
        Arc::new(Shared::new(Tun::open("t0", TunOffloads::default()).unwrap(), None).unwrap());
    let options = CoalesceOptions { tcp4: true, tcp6: true, udp: true, psh_closes: false };
    let (counts, datagrams) = (Arc::clone(&shared.inbound), Arc::clone(&shared.datagrams));
    let inbound = Inbound::new(Box::new(Plaintext), options, 1, counts, datagrams);
    let (v4, v6, port) = bind_pair(0, 0).unwrap();
    let paths = Paths {
        outbound: None,
        inbound: Some(InboundWorker::new(inbound, options)),
        sockets: Arc::new(Sockets { v4, v6 }),
        neighbour: None,
        mtu: 1420,
        stop: false,
    };
    let thread = DataThread { shared, seat: Arc::new(Seat::new(paths).unwrap()), sitting: 0 };
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
