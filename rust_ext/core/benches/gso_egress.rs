//! Pushing datagrams to the GSO list: to one destination, and to many in turn.

#![allow(clippy::unwrap_used, reason = "a bench that cannot be set up has failed")]
#![allow(missing_docs, reason = "what the macros of gungraun make")]

use gungraun::{library_benchmark, library_benchmark_group, main};
use pyfw_core::{
    outbound::{gso_batch::Target, gso_egress::GsoEgress},
    wireguard::{path::Path, peer::PeerId},
};

const DATAGRAM: usize = 1452;

type Ready = Box<(GsoEgress, Vec<Target>)>;

/// An empty list, and the target of each datagram.
fn ready(datagrams: u32, destinations: u32) -> Ready {
    let target = |i| {
        let address = format!("192.0.2.{i}:51820").parse().unwrap();
        Target { peer: PeerId(i), path: Path::to(address), ds: 0 }
    };
    let targets = (0..datagrams).map(|i| target(i % destinations)).collect();
    Box::new((GsoEgress::new(64, 64), targets))
}

#[library_benchmark]
#[bench::of_45_to_one_destination(ready(45, 1))]
#[bench::of_180_to_60_destinations_in_turn(ready(180, 60))]
fn push(mut ready: Ready) -> Ready {
    let (egress, targets) = &mut *ready;
    for (counter, target) in targets.iter().enumerate() {
        let mut room = egress.reserve(target, DATAGRAM).unwrap();
        room.bytes()[0] = 4;
        room.commit(16, DATAGRAM - 32, counter as u64);
    }
    ready
}

library_benchmark_group!(name = stage, benchmarks = [push]);
main!(library_benchmark_groups = stage);
