//! Sorting a drain into runs: 4 × 45 data messages of one session.

#![allow(clippy::unwrap_used, reason = "a bench that cannot be set up has failed")]
#![allow(missing_docs, reason = "what the macros of gungraun make")]

mod traffic;

use gungraun::{library_benchmark, library_benchmark_group, main};
use pyfw_core::{
    counters::DatagramTally,
    inbound::udp_ingress::{Arrival, classify_drain},
};
use traffic::{Drain, SEGMENT, SENT_AT_ONCE, Wire, outbound};

type Ready = Box<(Wire, Vec<Arrival>, DatagramTally)>;

fn ready(drain: Drain) -> Ready {
    let arrivals = Vec::with_capacity(256);
    Box::new((Wire::of(&mut outbound(), &drain), arrivals, DatagramTally::default()))
}

#[library_benchmark]
#[bench::of_180_messages(ready(Drain::bulk(4, SENT_AT_ONCE * SEGMENT)))]
fn udp_ingress(mut ready: Ready) -> Ready {
    let (Wire { buffer, received }, arrivals, tally) = &mut *ready;
    let (mut runs, mut handshakes) = (0, Vec::new());
    classify_drain(received, buffer, arrivals, &mut handshakes, tally, |_, _, _, _| runs += 1);
    assert_eq!((runs, arrivals.len()), (1, 180));
    ready
}

library_benchmark_group!(name = stage, benchmarks = [udp_ingress]);
main!(library_benchmark_groups = stage);
