//! A whole inbound drain, without the cipher: from the receive buffer to the departure of each frame.

#![allow(clippy::unwrap_used, reason = "a bench that cannot be set up has failed")]
#![allow(missing_docs, reason = "what the macros of gungraun make")]

mod traffic;

use gungraun::{library_benchmark, library_benchmark_group, main};
use pyfw_core::{frame::FrameBatch, inbound::Inbound};
use traffic::{Drain, SEGMENT, SENT_AT_ONCE, Wire, outbound, receive};

/// The path after one drain, and the next.
type Ready = Box<(Inbound, Wire, FrameBatch)>;

fn ready(drain: Drain) -> Ready {
    let (mut path, mut batch, mut peer) = (traffic::inbound(), FrameBatch::default(), outbound());
    receive(&mut path, &mut Wire::of(&mut peer, &drain), &mut batch, &mut Vec::new());
    Box::new((path, Wire::of(&mut peer, &drain), batch))
}

#[library_benchmark]
#[bench::of_180_segments(ready(Drain::bulk(4, SENT_AT_ONCE * SEGMENT)))]
#[bench::of_128_small(ready(Drain::small(128)))]
#[bench::of_one_small(ready(Drain::small(1)))]
fn inbound(mut ready: Ready) -> Ready {
    let (path, wire, batch) = &mut *ready;
    receive(path, wire, batch, &mut Vec::new());
    ready
}

library_benchmark_group!(name = path, benchmarks = [inbound]);
main!(library_benchmark_groups = path);
