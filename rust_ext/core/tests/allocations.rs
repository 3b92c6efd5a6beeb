//! In steady state neither path allocates, whatever a drain contains.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use pyfw_core::{frame::FrameBatch, inbound::udp_ingress::Received, wireguard::path::Path};
use pyfw_testkit::{
    allocator::{CountingAllocator, allocations_of},
    node::Node,
    packets::{plain, tcp, tso, udp},
    pair::{CLIENT, Pair, SERVER},
};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

#[test]
fn steady_traffic_allocates_nothing_on_either_path() {
    let mut pair = Pair::connected();
    let payload = vec![7; 60_000];
    let drain = Drain::new(&[
        tso(&tcp(CLIENT, SERVER, (80, 4000), 1, 0, &payload), 1368),
        plain(&udp(CLIENT, SERVER, (5, 6), &[1; 64])),
        tso(&tcp(CLIENT, SERVER, (81, 4000), 1, 0b10, &payload), 536),
        plain(&tcp(CLIENT, SERVER, (80, 4000), 60_001, 0, &[])),
    ]);
    let mut datagrams = Datagrams::default();
    let mut frames = FrameBatch::default();
    let mut counted = Vec::new();
    for _ in 0..20 {
        let sending = allocations_of(|| drain.send(&mut pair.client, &mut frames, &mut datagrams));
        let receiving = allocations_of(|| datagrams.receive(&mut pair.server, &mut frames));
        counted.push((sending, receiving));
    }
    // The first drains grow the vectors to their size.
    assert!(counted[0] != (0, 0), "the allocator does not count");
    assert_eq!(counted[4..], [(0, 0); 16]);
    assert_eq!(pair.server.inbound_counts.read().left, 1 + 20 * (44 + 1 + 112 + 1));
}

/// Frames in the buffer of the TUN.
struct Drain {
    buffer: Vec<u8>,
    places: Vec<(usize, usize)>,
}

impl Drain {
    fn new(frames: &[Vec<u8>]) -> Self {
        let mut drain = Self { buffer: Vec::new(), places: Vec::new() };
        for frame in frames {
            drain.places.push((drain.buffer.len(), frame.len()));
            drain.buffer.extend_from_slice(frame);
        }
        drain
    }

    fn send(&self, node: &mut Node, batch: &mut FrameBatch, datagrams: &mut Datagrams) {
        batch.clear();
        batch.received_ns = node.now.boot_ns;
        for &(offset, length) in &self.places {
            node.outbound.ingress(batch, &self.buffer, offset, length);
        }
        node.outbound.route(batch, &self.buffer);
        assert_eq!(node.outbound.encrypt(batch, &self.buffer, 0), batch.frames.len());
        node.outbound.finish(node.now.boot_ns);
        datagrams.buffer.clear();
        datagrams.received.clear();
        while let Some((batch, payload)) = node.outbound.gso().oldest() {
            datagrams.received.push(Received {
                offset: datagrams.buffer.len() as u32,
                length: payload.len() as u32,
                segment_size: batch.segment_size() as u32,
                from: Path::to(node.address),
                ds: batch.target().ds,
                truncated: false,
                waited_ns: 0,
            });
            datagrams.buffer.extend_from_slice(payload);
            node.outbound.complete(usize::MAX, None);
        }
        node.outbound.publish();
    }
}

/// Datagrams in the receive buffer.
#[derive(Default)]
struct Datagrams {
    buffer: Vec<u8>,
    received: Vec<Received>,
}

impl Datagrams {
    fn receive(&mut self, node: &mut Node, batch: &mut FrameBatch) {
        batch.clear();
        batch.received_ns = node.now.boot_ns;
        let mut handshakes = Vec::new();
        node.inbound.process(&self.received, &mut self.buffer, batch, &mut handshakes);
        for frame in &batch.frames {
            node.inbound.complete(frame, None);
        }
        node.inbound.publish();
    }
}
