//! What happens to a network, or to a clock, and what a tunnel makes of it.

use pyfw_core::time::SECOND_NS;

use crate::{
    end::End,
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

/// In steps of a second, as what is on the wire arrives when both ends are awake.
fn live_on(pair: &mut Pair, seconds: u64) {
    for _ in 0..seconds {
        pair.advance(SECOND_NS);
    }
}

#[test]
fn a_client_that_restarted_gets_the_answer_to_its_first_packet() {
    let mut pair = Pair::connected();
    pair.restart_client();
    // The server's host answers before control knows that the new keys are confirmed: the old ones, which
    // still serve, would be the client's no longer.
    pair.server.answers = vec![to_client()];
    pair.client.tun_drain(&[to_server()]);
    pair.settle();
    assert_eq!(pair.server.written.len(), 1);
    assert_eq!(pair.client.written.len(), 1);
    assert_eq!(pair.client.datagram_counts.read().dropped(), 0);
    pair.assert_lawful();
}

#[test]
fn a_moved_client_is_answered_where_it_is_before_control_knows() {
    let mut pair = Pair::connected();
    pair.client.address = "198.51.100.7:4444".parse().unwrap();
    pair.server.answers = vec![to_client()];
    pair.client.tun_drain(&[to_server()]);
    let batch = pair.client.sent.remove(0);
    pair.server.udp_drain(&[(pair.client.address, batch)]);
    assert_eq!(pair.server.sent[0].to, pair.client.address);
    pair.settle();
    assert_eq!(pair.client.written.len(), 1);
    pair.assert_lawful();
}

#[test]
fn crossed_handshakes_end_in_keys_that_both_have() {
    let mut pair = Pair::connected();
    live_on(&mut pair, 200);
    // Both sessions are too old: both ask at once.
    pair.client.tun_drain(&[to_server()]);
    pair.server.tun_drain(&[to_client()]);
    pair.server.answers = vec![to_client()];
    pair.settle();
    pair.client.tun_drain(&[to_server()]);
    pair.server.tun_drain(&[to_client()]);
    pair.settle();
    let packets = |end: &End| end.written.iter().map(|(_, _, segments)| segments).sum::<u16>();
    assert_eq!((packets(&pair.server), packets(&pair.client)), (2, 3));
    pair.assert_lawful();
}

#[test]
fn a_laptop_that_slept_shakes_hands_and_sends_nothing_under_old_keys() {
    for sleep_ns in [150 * SECOND_NS, 200 * SECOND_NS, 600 * SECOND_NS, 8 * HOUR_NS] {
        for wakes_by_its_timer in [false, true] {
            let mut pair = Pair::connected();
            // The server lives on; the client's clocks go on, and nothing else of it.
            pair.server.wait_until(pair.server.now.boot_ns + sleep_ns);
            pair.server.sent.clear();
            pair.client.now.boot_ns += sleep_ns;
            pair.client.now.unix_ns += sleep_ns;
            if wakes_by_its_timer {
                pair.client.wait_until(pair.client.now.boot_ns);
            }
            pair.client.tun_drain(&[to_server()]);
            pair.settle();
            assert_eq!(pair.server.written.len(), 1, "{sleep_ns} ns");
            assert_eq!(pair.server.datagram_counts.read().dropped(), 0, "{sleep_ns} ns");
            pair.server.tun_drain(&[to_client()]);
            pair.settle();
            assert_eq!(pair.client.written.len(), 1, "{sleep_ns} ns");
            pair.assert_lawful();
        }
    }
}

#[test]
fn a_wall_clock_that_jumps_keeps_nobody_from_shaking_hands() {
    let mut pair = Pair::connected();
    let jumps: [(i64, usize); 5] = [(-1, 1), (10, 1), (-10, 2), (-5, 1), (3, 1)];
    let mut sent = 0;
    for (years, times) in jumps {
        let jump_ns = years * YEAR_NS as i64;
        pair.client.now.unix_ns = pair.client.now.unix_ns.saturating_add_signed(jump_ns);
        for _ in 0..times {
            // A session lives for 180 s: each packet needs a new one.
            live_on(&mut pair, 181);
            pair.client.tun_drain(&[to_server()]);
            pair.settle();
            sent += 1;
            assert_eq!(pair.server.written.len(), sent, "after a jump of {years} years");
        }
    }
    pair.assert_lawful();
}

#[test]
fn a_refused_packet_is_dropped_and_its_refusal_created() {
    let mut pair = Pair::connected();
    let nowhere = plain(&udp(CLIENT, address("10.7.7.7"), (1, 2), b"nobody"));
    pair.client.tun_drain(&[nowhere, to_server()]);
    pair.settle();
    let (outbound, inbound) =
        (pair.client.outbound_counts.read(), pair.client.inbound_counts.read());
    assert_eq!((outbound.dropped(), inbound.created), (1, 1));
    let refusal = &pair.client.written[0].1;
    assert_eq!((refusal[9], refusal[20], refusal[21]), (1, 3, 1), "ICMP host unreachable");
    pair.assert_lawful();
}
