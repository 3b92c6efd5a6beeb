//! Routing a drain of 128 frames: all to one destination, and each to another of as many peers.

#![allow(clippy::unwrap_used, reason = "a bench that cannot be set up has failed")]
#![allow(missing_docs, reason = "what the macros of gungraun make")]

mod traffic;

use std::sync::Arc;

use gungraun::{library_benchmark, library_benchmark_group, main};
use pyfw_core::{
    allowed_ips::AllowedIps, counters::OutboundTally, frame::FrameBatch, peer::PeerId, route::Route,
};
use traffic::Drain;

/// Routes to so many peers, and a drain of 128 frames to each in turn.
fn ready(peers: u8) -> (Route, FrameBatch, OutboundTally) {
    let mut allowed_ips = AllowedIps::default();
    for i in 0..peers {
        allowed_ips.insert(format!("10.0.{i}.0/24").parse().unwrap(), PeerId(i.into()));
    }
    let mut route = Route::default();
    route.replace(Arc::new(allowed_ips));
    let mut batch = Drain::small(128).rows();
    for (i, frame) in (0..).zip(&mut batch.frames) {
        frame.destination[2] = i % peers;
    }
    (route, batch, OutboundTally::default())
}

#[library_benchmark]
#[bench::of_128_to_one_peer(ready(1))]
#[bench::of_128_to_128_peers(ready(128))]
fn route(
    (mut route, mut batch, mut tally): (Route, FrameBatch, OutboundTally),
) -> (Route, FrameBatch, OutboundTally) {
    route.outbound(&mut batch, &mut tally);
    assert_eq!(batch.frames.len(), 128);
    (route, batch, tally)
}

library_benchmark_group!(name = stage, benchmarks = [route]);
main!(library_benchmark_groups = stage);
