//! Decrypting a run of 180 data messages, without the cipher: replay window, headers, source, ECN.

#![allow(clippy::unwrap_used, reason = "a bench that cannot be set up has failed")]
#![allow(missing_docs, reason = "what the macros of gungraun make")]

mod traffic;

use std::sync::Arc;

use gungraun::{library_benchmark, library_benchmark_group, main};
use pyfw_core::{
    counters::DatagramTally,
    frame::FrameBatch,
    inbound::{
        decrypt::Decrypt, source_check::SourceCheck, state::InboundState, udp_ingress::UdpIngress,
    },
};
use traffic::{
    Drain, NOW_NS, NoCipher, PEER, SEGMENT, SENT_AT_ONCE, Wire, one_route, outbound,
    receive_session,
};

struct Ready {
    decrypt: Decrypt,
    state: InboundState,
    source_check: SourceCheck,
    batch: FrameBatch,
    wire: Wire,
    udp_ingress: UdpIngress,
}

impl Ready {
    fn run(&mut self) {
        let Self { decrypt, state, source_check, batch, wire, udp_ingress } = self;
        let Wire { buffer, received } = wire;
        for run in udp_ingress.runs() {
            decrypt.process(state, run, received, buffer, source_check, batch);
        }
    }

    fn set_next(&mut self, wire: Wire) {
        self.wire = wire;
        self.batch.clear();
        let Wire { buffer, received } = &self.wire;
        let mut tally = DatagramTally::default();
        self.udp_ingress.process(received, buffer, &mut Vec::new(), &mut tally);
    }
}

/// The stage after one run, and the next.
fn ready(drain: Drain) -> Box<Ready> {
    let mut state = InboundState::default();
    state.add_peer(PEER, Arc::default());
    state.install(receive_session(), None);
    let mut source_check = SourceCheck::default();
    source_check.replace(Arc::new(one_route("10.0.0.1/32")));
    let mut ready = Ready {
        decrypt: Decrypt::new(Box::new(NoCipher)),
        state,
        source_check,
        batch: FrameBatch { received_ns: NOW_NS, ..FrameBatch::default() },
        wire: Wire::default(),
        udp_ingress: UdpIngress::default(),
    };
    let mut path = outbound();
    ready.set_next(Wire::of(&mut path, &drain));
    ready.run();
    ready.set_next(Wire::of(&mut path, &drain));
    Box::new(ready)
}

#[library_benchmark]
#[bench::of_180_messages(ready(Drain::bulk(4, SENT_AT_ONCE * SEGMENT)))]
fn decrypt(mut ready: Box<Ready>) -> Box<Ready> {
    ready.run();
    assert_eq!(ready.batch.frames.len(), 180);
    ready
}

library_benchmark_group!(name = stage, benchmarks = [decrypt]);
main!(library_benchmark_groups = stage);
