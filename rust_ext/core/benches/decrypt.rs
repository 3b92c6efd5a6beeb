//! Decrypting a run of 180 data messages, without the cipher: replay window, headers, source, ECN.

#![allow(clippy::unwrap_used, reason = "a bench that cannot be set up has failed")]
#![allow(missing_docs, reason = "what the macros of gungraun make")]

mod traffic;

use std::sync::Arc;

use gungraun::{library_benchmark, library_benchmark_group, main};
use pyfw_core::{
    counters::DatagramTally,
    frame::FrameBatch,
    inbound::source_check::SourceCheck,
    inbound::{
        decrypt::Decrypt,
        udp_ingress::{Arrival, classify_drain},
    },
};
use traffic::{
    Drain, NOW_NS, NoCipher, PEER, SEGMENT, SENT_AT_ONCE, Wire, one_route, outbound,
    receive_session, receiver_index,
};

struct Ready {
    decrypt: Decrypt,
    source_check: SourceCheck,
    batch: FrameBatch,
    tally: DatagramTally,
    wire: Wire,
    arrivals: Vec<Arrival>,
}

impl Ready {
    fn run(&mut self) {
        let Self { decrypt, source_check, batch, tally, wire, arrivals } = self;
        let Wire { buffer, received } = wire;
        decrypt.process(receiver_index(), arrivals, received, buffer, batch, source_check, tally);
    }

    fn take(&mut self, wire: Wire) {
        self.wire = wire;
        self.batch.clear();
        let mut arrivals = Vec::new();
        let Wire { buffer, received } = &mut self.wire;
        let mut tally = DatagramTally::default();
        classify_drain(
            received,
            buffer,
            &mut arrivals,
            &mut Vec::new(),
            &mut tally,
            |_, _, _, _| {},
        );
        self.arrivals = arrivals;
    }
}

/// The stage after one run, and the next.
fn ready(drain: Drain) -> Box<Ready> {
    let mut decrypt = Decrypt::new(Box::new(NoCipher));
    decrypt.add_peer(PEER, Arc::default());
    decrypt.install(receive_session(), None);
    let mut source_check = SourceCheck::default();
    source_check.replace(Arc::new(one_route("10.0.0.1/32")));
    let mut ready = Ready {
        decrypt,
        source_check,
        batch: FrameBatch { received_ns: NOW_NS, ..FrameBatch::default() },
        tally: DatagramTally::default(),
        wire: Wire::default(),
        arrivals: Vec::new(),
    };
    let mut path = outbound();
    ready.take(Wire::of(&mut path, &drain));
    ready.run();
    ready.take(Wire::of(&mut path, &drain));
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
