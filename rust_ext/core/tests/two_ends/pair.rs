//! Two ends that know each other, and the wire between them.

use std::net::SocketAddr;

use pyfw_core::{
    time::{Now, SECOND_NS},
    wireguard::device::PeerChange,
};

use crate::{
    end::End,
    packets::{plain, udp},
};

pub(crate) const CLIENT: [u8; 4] = [10, 0, 0, 1];
pub(crate) const SERVER: [u8; 4] = [10, 0, 0, 2];

const CLIENT_KEY: [u8; 32] = [3; 32];
const SERVER_KEY: [u8; 32] = [5; 32];

/// Client and server, and the wire between them.
pub(crate) struct Pair {
    pub(crate) client: End,
    pub(crate) server: End,
}

impl Pair {
    pub(crate) fn new() -> Self {
        let start = Now { boot_ns: 1000 * SECOND_NS, unix_ns: 1_700_000_000 * SECOND_NS };
        let mut client = End::new("192.0.2.1:1000", CLIENT_KEY, 1, start);
        let mut server = End::new("192.0.2.2:2000", SERVER_KEY, 2, start);
        let public = |end: &End| end.device.public_key().unwrap();
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

    /// With a session both ways.
    pub(crate) fn connected() -> Self {
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

    /// The client's daemon starts again, with its key and no memory, a second later.
    pub(crate) fn restart_client(&mut self) {
        self.advance(SECOND_NS);
        let (server, address) = (self.server.address, self.client.address.to_string());
        let mut client = End::new(&address, CLIENT_KEY, 9, self.client.now);
        client.set_peer(PeerChange {
            endpoint: Some(server),
            add_allowed_ips: vec!["10.0.0.2/32".parse().unwrap()],
            ..PeerChange::new(self.server.device.public_key().unwrap())
        });
        self.client = client;
    }

    /// Carries what was sent until the wire is quiet.
    pub(crate) fn settle(&mut self) {
        while !(self.client.sent.is_empty() && self.server.sent.is_empty()) {
            carry(&mut self.client, &mut self.server);
            carry(&mut self.server, &mut self.client);
        }
    }

    pub(crate) fn advance(&mut self, by_ns: u64) {
        let until = self.client.now.boot_ns + by_ns;
        self.client.wait_until(until);
        self.server.wait_until(until);
        self.settle();
    }

    pub(crate) fn assert_lawful(&self) {
        for end in [&self.client, &self.server] {
            end.assert_conserved();
            assert_eq!(end.inbound_counts.read().late, 0);
        }
    }
}

fn carry(from: &mut End, to: &mut End) {
    let source: SocketAddr = from.address;
    let batches: Vec<_> = from.sent.drain(..).map(|batch| (source, batch)).collect();
    for drain in batches.chunks(4) {
        to.udp_drain(drain);
    }
}
