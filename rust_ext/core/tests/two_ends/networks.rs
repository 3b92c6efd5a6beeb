//! Restarts, moves, suspends and clock jumps.

use pyfw_core::time::SECOND_NS;
use pyfw_testkit::{
    node::Node,
    packets::{address, plain, udp},
    pair::{CLIENT, Pair, SERVER},
};

const HOUR_NS: u64 = 3600 * SECOND_NS;
const YEAR_NS: u64 = 365 * 24 * HOUR_NS;

fn to_server() -> Vec<u8> {
    plain(&udp(CLIENT, SERVER, (1, 2), b"question"))
}

fn to_client() -> Vec<u8> {
    plain(&udp(SERVER, CLIENT, (2, 1), b"answer"))
}

/// Lets time pass in steps of a second, so that messages arrive when they are sent.
fn run_for(pair: &mut Pair, seconds: u64) {
    for _ in 0..seconds {
        pair.advance(SECOND_NS);
    }
}

#[test]
fn a_restarted_client_gets_the_answer_to_its_first_packet() {
    let mut pair = Pair::connected();
    pair.restart_client();
    // The server answers before its control learns that the new keys are confirmed. The old keys are still valid
    // there, but the client has lost them.
    pair.server.answers = vec![to_client()];
    pair.client.tun_drain(&[to_server()]);
    pair.settle();
    assert_eq!(pair.server.written.len(), 1);
    assert_eq!(pair.client.written.len(), 1);
    assert_eq!(pair.client.datagram_counts.read().dropped(), 0);
    pair.assert_conserved_and_ordered();
}

#[test]
fn a_moved_client_is_answered_before_control_learns_of_it() {
    let mut pair = Pair::connected();
    pair.client.address = "198.51.100.7:4444".parse().unwrap();
    pair.server.answers = vec![to_client()];
    pair.client.tun_drain(&[to_server()]);
    let batch = pair.client.sent.remove(0);
    pair.server.udp_drain(&[(pair.client.address, batch)]);
    assert_eq!(pair.server.sent[0].to, pair.client.address);
    pair.settle();
    assert_eq!(pair.client.written.len(), 1);
    pair.assert_conserved_and_ordered();
}

#[test]
fn crossed_handshakes_end_in_keys_of_both_ends() {
    let mut pair = Pair::connected();
    run_for(&mut pair, 200);
    // The session is too old: both ends initiate at once.
    pair.client.tun_drain(&[to_server()]);
    pair.server.tun_drain(&[to_client()]);
    pair.server.answers = vec![to_client()];
    pair.settle();
    pair.client.tun_drain(&[to_server()]);
    pair.server.tun_drain(&[to_client()]);
    pair.settle();
    let packets = |node: &Node| node.written.iter().map(|frame| frame.segments).sum::<u16>();
    assert_eq!((packets(&pair.server), packets(&pair.client)), (2, 3));
    pair.assert_conserved_and_ordered();
}

#[test]
fn a_resumed_laptop_sends_nothing_under_old_keys() {
    for sleep_ns in [150 * SECOND_NS, 200 * SECOND_NS, 600 * SECOND_NS, 8 * HOUR_NS] {
        for timeout_comes_first in [false, true] {
            let mut pair = Pair::connected();
            // The server runs on; at the client only the clocks do.
            pair.server.wait_until(pair.server.now.boot_ns + sleep_ns);
            pair.server.sent.clear();
            pair.client.now.boot_ns += sleep_ns;
            pair.client.now.unix_ns += sleep_ns;
            if timeout_comes_first {
                pair.client.wait_until(pair.client.now.boot_ns);
            }
            pair.client.tun_drain(&[to_server()]);
            pair.settle();
            assert_eq!(pair.server.written.len(), 1, "{sleep_ns} ns");
            assert_eq!(pair.server.datagram_counts.read().dropped(), 0, "{sleep_ns} ns");
            pair.server.tun_drain(&[to_client()]);
            pair.settle();
            assert_eq!(pair.client.written.len(), 1, "{sleep_ns} ns");
            pair.assert_conserved_and_ordered();
        }
    }
}

#[test]
fn handshakes_succeed_after_the_wall_clock_jumps() {
    let mut pair = Pair::connected();
    let jumps: [(i64, usize); 5] = [(-1, 1), (10, 1), (-10, 2), (-5, 1), (3, 1)];
    let mut sent = 0;
    for (years, times) in jumps {
        let jump_ns = years * YEAR_NS as i64;
        pair.client.now.unix_ns = pair.client.now.unix_ns.saturating_add_signed(jump_ns);
        for _ in 0..times {
            // A session is used for 180 s, so each packet needs a new one.
            run_for(&mut pair, 181);
            pair.client.tun_drain(&[to_server()]);
            pair.settle();
            sent += 1;
            assert_eq!(pair.server.written.len(), sent, "after a jump of {years} years");
        }
    }
    pair.assert_conserved_and_ordered();
}

#[test]
fn a_packet_without_a_route_is_answered_with_an_icmp_error() {
    let mut pair = Pair::connected();
    let unroutable = plain(&udp(CLIENT, address("10.7.7.7"), (1, 2), b"lost"));
    pair.client.tun_drain(&[unroutable, to_server()]);
    pair.settle();
    let (outbound, inbound) =
        (pair.client.outbound_counts.read(), pair.client.inbound_counts.read());
    assert_eq!((outbound.dropped(), inbound.created), (1, 1));
    let error = &pair.client.written[0].packet;
    assert_eq!((error[9], error[20], error[21]), (1, 3, 1), "ICMP host unreachable");
    pair.assert_conserved_and_ordered();
}
