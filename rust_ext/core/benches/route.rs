//! Routing a drain of 128 frames: all to one destination, and each to another of as many peers.

#![allow(clippy::unwrap_used, reason = "a bench that cannot be set up has failed")]
#![allow(missing_docs, reason = "what the macros of gungraun make")]

mod traffic;

use std::sync::Arc;

use gungraun::{library_benchmark, library_benchmark_group, main};
use pyfw_core::{
    counters::OutboundTally,
    frame::FrameBatch,
    outbound::{icmp_error::IcmpErrors, route::Route},
    wireguard::{allowed_ips::AllowedIps, peer::PeerId},
};
use traffic::Drain;

#[derive(Default)]
struct Ready {
    route: Route,
    drain: Drain,
    batch: FrameBatch,
    tally: OutboundTally,
    icmp_errors: IcmpErrors,
}

/// Routes to so many peers, and a drain of 128 frames to each in turn.
fn ready(peers: u8) -> Box<Ready> {
    let mut allowed_ips = AllowedIps::default();
    for i in 0..peers {
        allowed_ips.insert(format!("10.0.{i}.0/24").parse().unwrap(), PeerId(i.into()));
    }
    let mut ready = Ready { drain: Drain::small(128), ..Ready::default() };
    ready.route.replace(Arc::new(allowed_ips));
    ready.batch = ready.drain.rows();
    for (i, frame) in (0..).zip(&mut ready.batch.frames) {
        frame.destination[2] = i % peers;
    }
    Box::new(ready)
}

#[library_benchmark]
#[bench::of_128_to_one_peer(ready(1))]
#[bench::of_128_to_128_peers(ready(128))]
fn route(mut ready: Box<Ready>) -> Box<Ready> {
    let Ready { route, drain, batch, tally, icmp_errors } = &mut *ready;
    route.process(batch, &drain.buffer, tally, icmp_errors);
    assert_eq!(batch.frames.len(), 128);
    ready
}

library_benchmark_group!(name = stage, benchmarks = [route]);
main!(library_benchmark_groups = stage);
