//! Two nodes that are configured as peers, and the wire between them.

use std::net::SocketAddr;

use pyfw_core::{
    time::{Now, SECOND_NS},
    wireguard::device::PeerChange,
};

use crate::{
    node::Node,
    packets::{plain, udp},
};

/// The inner address of the client.
pub const CLIENT: [u8; 4] = [10, 0, 0, 1];
/// The inner address of the server.
pub const SERVER: [u8; 4] = [10, 0, 0, 2];

const CLIENT_KEY: [u8; 32] = [3; 32];
const SERVER_KEY: [u8; 32] = [5; 32];

/// A client and a server.
pub struct Pair {
    /// The node with an endpoint for its peer.
    pub client: Node,
    /// The node that learns the endpoint of its peer.
    pub server: Node,
}

impl Pair {
    /// Creates a pair without a session.
    #[expect(clippy::new_without_default, reason = "a pair has no default state")]
    pub fn new() -> Self {
        let start = Now { boot_ns: 1000 * SECOND_NS, unix_ns: 1_700_000_000 * SECOND_NS };
        let mut client = Node::new("192.0.2.1:1000", CLIENT_KEY, 1, start);
        let mut server = Node::new("192.0.2.2:2000", SERVER_KEY, 2, start);
        let public = |node: &Node| node.device.public_key().unwrap();
        let (client_public, server_public) = (public(&client), public(&server));
        client.set_peer(PeerChange {
            endpoint: Some(server.address),
            add_allowed_ips: vec!["10.0.0.2/32".parse().unwrap()],
            ..PeerChange::new(server_public)
        });
        server.set_peer(PeerChange {
            add_allowed_ips: vec!["10.0.0.1/32".parse().unwrap()],
            ..PeerChange::new(client_public)
        });
        Self { client, server }
    }

    /// Creates a pair with a session that both have sent under.
    pub fn connected() -> Self {
        let mut pair = Self::new();
        pair.client.tun_drain(&[plain(&udp(CLIENT, SERVER, (9, 9), b"hello"))]);
        pair.settle();
        pair.server.tun_drain(&[plain(&udp(SERVER, CLIENT, (9, 9), b"hello"))]);
        pair.settle();
        assert_eq!((pair.server.written.len(), pair.client.written.len()), (1, 1));
        pair.server.written.clear();
        pair.client.written.clear();
        pair
    }

    /// Restarts the client a second later, with its key and without its sessions.
    pub fn restart_client(&mut self) {
        self.advance(SECOND_NS);
        let (server, address) = (self.server.address, self.client.address.to_string());
        let mut client = Node::new(&address, CLIENT_KEY, 9, self.client.now);
        client.set_peer(PeerChange {
            endpoint: Some(server),
            add_allowed_ips: vec!["10.0.0.2/32".parse().unwrap()],
            ..PeerChange::new(self.server.device.public_key().unwrap())
        });
        self.client = client;
    }

    /// Delivers what was sent until nothing is sent any more.
    pub fn settle(&mut self) {
        while !(self.client.sent.is_empty() && self.server.sent.is_empty()) {
            deliver(&mut self.client, &mut self.server);
            deliver(&mut self.server, &mut self.client);
        }
    }

    /// Lets time pass at both nodes.
    pub fn advance(&mut self, by_ns: u64) {
        let until = self.client.now.boot_ns + by_ns;
        self.client.wait_until(until);
        self.server.wait_until(until);
        self.settle();
    }

    /// Asserts that no node has lost count of a packet or received one late.
    pub fn assert_conserved_and_ordered(&self) {
        for node in [&self.client, &self.server] {
            node.assert_conserved();
            assert_eq!(node.inbound_counts.read().late, 0);
        }
    }
}

fn deliver(from: &mut Node, to: &mut Node) {
    let source: SocketAddr = from.address;
    let batches: Vec<_> = from.sent.drain(..).map(|batch| (source, batch)).collect();
    for drain in batches.chunks(4) {
        to.udp_drain(drain);
    }
}
