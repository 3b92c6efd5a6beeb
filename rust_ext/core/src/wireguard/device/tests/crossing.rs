//! Both ends initiate at once, on wires that delay and lose.

use super::wire::*;

#[test]
fn crossed_initiations_converge_in_one_round_trip() {
    let mut wire = Wire::new(20);
    wire.send(0);
    wire.send(1);
    wire.run_for(30 * MS);
    assert_eq!(wire.ends.each_ref().map(|end| end.delivered), [1, 1]);
    wire.run_for(30 * S);
    let initiations = [0, 1].map(|i| times(&wire, i, |datagram| datagram.is(1)).len());
    assert_eq!(initiations, [1, 1], "no retries");
}

/// 1,000 runs: both ends initiate at about the same time, and any of the first four messages may be lost. After
/// two retries at the latest, data passes both ways.
#[test]
fn crossed_initiations_converge_whatever_is_lost() {
    for seed in 0..1000 {
        let mut dice = Seed(seed);
        let mut wire = Wire::new(seed);
        wire.latency_ns = dice.below(100) * MS;
        let lost = dice.next();
        let mut number = 0;
        wire.loses = Box::new(move |_, _| {
            number += 1;
            number <= 4 && lost >> number & 1 == 1
        });
        wire.send(0);
        wire.run_for(dice.below(120) * MS);
        wire.send(1);
        wire.run_for(12 * S);
        let before = wire.ends.each_ref().map(|end| end.delivered);
        for i in 0..2 {
            wire.send(i);
        }
        wire.run_for(S);
        let after = wire.ends.each_ref().map(|end| end.delivered);
        assert_eq!(after, before.map(|n| n + 1), "seed {seed}");
    }
}

/// The kernel drops its own initiation when ours arrives, and so accepts no response to it; end 1 behaves the same.
#[test]
fn a_peer_may_ignore_the_response_to_a_crossed_initiation() {
    let mut wire = Wire::new(22);
    wire.loses = Box::new(|from, datagram| from == 0 && datagram.is(2));
    wire.send(0);
    wire.send(1);
    wire.run_for(40 * MS);
    assert_eq!(wire.ends.each_ref().map(|end| end.delivered), [1, 1]);
    wire.run_for(10 * S);
    assert_eq!(times(&wire, 1, |datagram| datagram.is(1)).len(), 1);
}
