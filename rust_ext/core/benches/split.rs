//! Splitting a super-packet of 64 KiB into its segments, checksums included; and the smallest frame.

#![allow(clippy::unwrap_used, reason = "a bench that cannot be set up has failed")]
#![allow(missing_docs, reason = "what the macros of gungraun make")]

mod traffic;

use gungraun::{library_benchmark, library_benchmark_group, main};
use pyfw_core::{frame::FrameBatch, packet::split::Segments};
use traffic::{Drain, FULL, MTU};

/// The drain, its rows, and room for one segment.
type Ready = Box<(Drain, FrameBatch, Vec<u8>)>;

fn ready(drain: Drain) -> Ready {
    let rows = drain.rows();
    Box::new((drain, rows, vec![0; MTU]))
}

#[library_benchmark]
#[bench::of_64_kib(ready(Drain::bulk(1, FULL)))]
#[bench::of_64_small(ready(Drain::small(64)))]
fn split(mut ready: Ready) -> Ready {
    let (drain, rows, slot) = &mut *ready;
    for frame in &rows.frames {
        let bytes = frame.bytes(&drain.buffer);
        let segments = Segments::new(frame, bytes);
        for i in 0..segments.count() {
            segments.write(i, bytes, &mut slot[..segments.length(i)]);
        }
    }
    ready
}

library_benchmark_group!(name = stage, benchmarks = [split]);
main!(library_benchmark_groups = stage);
