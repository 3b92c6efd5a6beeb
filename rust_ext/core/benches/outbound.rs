//! A whole outbound drain, without the cipher: from the TUN's buffer to the departure of each batch.

#![allow(clippy::unwrap_used, reason = "a bench that cannot be set up has failed")]
#![allow(missing_docs, reason = "what the macros of gungraun make")]

mod traffic;

use gungraun::{library_benchmark, library_benchmark_group, main};
use pyfw_core::{frame::FrameBatch, outbound::Outbound};
use traffic::{Drain, FULL, send};

/// The path after one drain, and the next.
type Ready = Box<(Outbound, Drain, FrameBatch)>;

fn ready(drain: Drain) -> Ready {
    let (mut path, mut batch) = (traffic::outbound(), FrameBatch::default());
    send(&mut path, &drain, &mut batch, |_, _| {});
    Box::new((path, drain, batch))
}

#[library_benchmark]
#[bench::of_4_super_packets(ready(Drain::bulk(4, FULL)))]
#[bench::of_128_small(ready(Drain::small(128)))]
#[bench::of_one_small(ready(Drain::small(1)))]
fn outbound(mut ready: Ready) -> Ready {
    let (path, drain, batch) = &mut *ready;
    send(path, drain, batch, |_, _| {});
    ready
}

library_benchmark_group!(name = path, benchmarks = [outbound]);
main!(library_benchmark_groups = path);
