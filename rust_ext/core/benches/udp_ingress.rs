//! Sorting a drain into runs: 4 × 45 data messages of one session.

#![allow(clippy::unwrap_used, reason = "a bench that cannot be set up has failed")]
#![allow(missing_docs, reason = "what the macros of gungraun make")]

mod traffic;

use gungraun::{library_benchmark, library_benchmark_group, main};
use pyfw_core::{counters::DatagramTally, inbound::udp_ingress::UdpIngress};
use traffic::{Drain, SEGMENT, SENT_AT_ONCE, Wire, outbound};

/// The stage after one drain, and the next.
type Ready = Box<(Wire, UdpIngress, DatagramTally)>;

fn ready(drain: Drain) -> Ready {
    let (wire, mut udp_ingress) = (Wire::of(&mut outbound(), &drain), UdpIngress::default());
    let mut tally = DatagramTally::default();
    udp_ingress.process(&wire.received, &wire.buffer, &mut Vec::new(), &mut tally);
    Box::new((wire, udp_ingress, tally))
}

#[library_benchmark]
#[bench::of_180_messages(ready(Drain::bulk(4, SENT_AT_ONCE * SEGMENT)))]
fn udp_ingress(mut ready: Ready) -> Ready {
    let (Wire { buffer, received }, udp_ingress, tally) = &mut *ready;
    udp_ingress.process(received, buffer, &mut Vec::new(), tally);
    assert!(udp_ingress.runs().map(|run| run.messages.len()).eq([180]));
    ready
}

library_benchmark_group!(name = stage, benchmarks = [udp_ingress]);
main!(library_benchmark_groups = stage);
