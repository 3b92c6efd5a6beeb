//! The internet checksum of one segment's payload, and of an IPv4 header.

#![allow(missing_docs, reason = "what the macros of gungraun make")]

use gungraun::{library_benchmark, library_benchmark_group, main};
use pyfw_core::packet::checksum::{Sum, sum};

#[library_benchmark]
#[bench::of_1448_bytes(vec![0x5A; 1448])]
#[bench::of_20_bytes(vec![0x5A; 20])]
fn checksum(bytes: Vec<u8>) -> (Vec<u8>, Sum) {
    let sum = sum(&bytes);
    (bytes, sum)
}

library_benchmark_group!(name = stage, benchmarks = [checksum]);
main!(library_benchmark_groups = stage);
