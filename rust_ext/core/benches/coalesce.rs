//! Coalescing a drain: 4 × 45 segments of one flow, and 128 datagrams of as many flows.

#![allow(clippy::unwrap_used, reason = "a bench that cannot be set up has failed")]
#![allow(missing_docs, reason = "what the macros of gungraun make")]

mod traffic;

use gungraun::{library_benchmark, library_benchmark_group, main};
use pyfw_core::{
    frame::FrameBatch,
    inbound::coalesce::{Coalesce, CoalesceOptions},
};
use traffic::{Drain, SEGMENT, SENT_AT_ONCE, Wire, outbound};

/// The stage, warm, and what decrypt left.
type Ready = Box<(Coalesce, FrameBatch, Wire)>;

fn ready(drain: Drain) -> Ready {
    let options = CoalesceOptions { tcp4: true, tcp6: true, udp: true, psh_closes: false };
    let mut coalesce = Coalesce::new(options, 7);
    let mut path = outbound();
    let mut first = Wire::of(&mut path, &drain);
    let mut batch = first.rows();
    coalesce.process(&mut batch, &mut first.buffer);
    let wire = Wire::of(&mut path, &drain);
    batch.clear();
    batch.frames.extend(wire.rows().frames);
    Box::new((coalesce, batch, wire))
}

#[library_benchmark]
#[bench::of_180_segments(ready(Drain::bulk(4, SENT_AT_ONCE * SEGMENT)))]
#[bench::of_128_flows(ready(Drain::small(128)))]
fn coalesce(mut ready: Ready) -> Ready {
    let (coalesce, batch, wire) = &mut *ready;
    coalesce.process(batch, &mut wire.buffer);
    ready
}

library_benchmark_group!(name = stage, benchmarks = [coalesce]);
main!(library_benchmark_groups = stage);
