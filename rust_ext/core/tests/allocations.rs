//! A counting allocator: in steady state neither path allocates, whatever a drain holds.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]
#![allow(dead_code, reason = "the two ends serve other tests as well")]

#[path = "two_ends/end.rs"]
mod end;
#[path = "two_ends/packets.rs"]
mod packets;
#[path = "two_ends/pair.rs"]
mod pair;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

use end::End;
use packets::{plain, tcp, tso, udp};
use pair::{CLIENT, Pair, SERVER};
use pyfw_core::{frame::FrameBatch, inbound::udp_ingress::Received, wireguard::path::Path};

struct Counted;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTED: Counted = Counted;

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
    let mut wire = Wire::default();
    let mut frames = FrameBatch::default();
    let mut counted = Vec::new();
    for _ in 0..20 {
        let before = ALLOCATIONS.get();
        drain.send(&mut pair.client, &mut frames, &mut wire);
        let sent = ALLOCATIONS.get();
        wire.receive(&mut pair.server, &mut frames);
        counted.push((sent - before, ALLOCATIONS.get() - sent));
    }
    // The first drains grow the vectors to their size; after that nothing is left to allocate.
    assert!(counted[0] != (0, 0), "the allocator does not count");
    assert_eq!(counted[4..], [(0, 0); 16]);
    assert_eq!(pair.server.inbound_counts.read().left, 1 + 20 * (44 + 1 + 112 + 1));
}

/// Frames as they lie in the TUN's buffer.
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

    fn send(&self, end: &mut End, batch: &mut FrameBatch, wire: &mut Wire) {
        batch.clear();
        batch.received_ns = end.now.boot_ns;
        for &(offset, length) in &self.places {
            end.outbound.ingress(batch, &self.buffer, offset, length);
        }
        end.outbound.route(batch, &self.buffer);
        assert_eq!(end.outbound.encrypt(batch, &self.buffer, 0), batch.frames.len());
        end.outbound.finish(end.now.boot_ns);
        wire.buffer.clear();
        wire.received.clear();
        while let Some((batch, payload)) = end.outbound.gso().oldest() {
            wire.received.push(Received {
                offset: wire.buffer.len() as u32,
                length: payload.len() as u32,
                segment_size: batch.segment_size() as u32,
                from: Path::to(end.address),
                ds: batch.target().ds,
                truncated: false,
                waited_ns: 0,
            });
            wire.buffer.extend_from_slice(payload);
            end.outbound.complete(usize::MAX, None);
        }
        end.outbound.publish();
    }
}

/// What is between the ends.
#[derive(Default)]
struct Wire {
    buffer: Vec<u8>,
    received: Vec<Received>,
}

impl Wire {
    fn receive(&mut self, end: &mut End, batch: &mut FrameBatch) {
        batch.clear();
        batch.received_ns = end.now.boot_ns;
        let mut handshakes = Vec::new();
        end.inbound.process(&self.received, &mut self.buffer, batch, &mut handshakes);
        for frame in &batch.frames {
            end.inbound.complete(frame, None);
        }
        end.inbound.publish();
    }
}
