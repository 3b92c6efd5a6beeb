//! Each timer at its exact time.

use super::wire::*;

fn is_initiation(datagram: &Datagram) -> bool {
    datagram.is(1)
}

#[test]
fn an_idle_device_wakes_only_to_erase_its_keys() {
    let mut wire = Wire::connected(30);
    let created_ns = [wire.ends[0].sending.as_ref(), wire.ends[1].sending.as_ref()]
        .map(|session| session.unwrap().created_ns);
    for (end, created_ns) in wire.ends.iter().zip(created_ns) {
        assert_eq!(end.device.poll_timeout(), Some(created_ns + 540 * S));
    }
    wire.run_until(created_ns[0] + 540 * S - 1);
    assert!(wire.ends[0].sending.is_some());
    assert_eq!(wire.ends[0].receiving.len(), 1);
    wire.run_for(1);
    for end in &wire.ends {
        assert!(end.sending.is_none());
        assert!(end.receiving.is_empty());
        assert_eq!(end.count_events("peer.keys_erased"), 1);
        assert_eq!(end.device.poll_timeout(), None);
    }
}

#[test]
fn the_initiator_renews_when_it_sends_after_120_s() {
    let mut wire = Wire::connected(31);
    let created_ns = wire.ends[0].sending.as_ref().unwrap().created_ns;
    wire.run_until(created_ns + 120 * S);
    wire.send(0);
    assert_eq!(times(&wire, 0, is_initiation).len(), 1);
    wire.run_for(1);
    wire.send(0);
    assert_eq!(times(&wire, 0, is_initiation), [S, created_ns + 120 * S + 1]);
}

#[test]
fn the_responder_does_not_renew_by_time() {
    let mut wire = Wire::connected(32);
    let created_ns = wire.ends[1].sending.as_ref().unwrap().created_ns;
    wire.run_until(created_ns + 180 * S - 1);
    wire.send(1);
    assert_eq!(times(&wire, 1, is_initiation), []);
    wire.run_for(1);
    wire.send(1);
    assert_eq!(times(&wire, 1, is_initiation), [created_ns + 180 * S], "it is too old now");
}

#[test]
fn the_initiator_renews_when_it_receives_after_165_s() {
    let mut wire = Wire::connected(33);
    let created_ns = wire.ends[0].sending.as_ref().unwrap().created_ns;
    wire.run_until(created_ns + 165 * S - wire.latency_ns);
    wire.send(1);
    wire.run_for(wire.latency_ns);
    assert_eq!(times(&wire, 0, is_initiation).len(), 1);
    wire.send(1);
    wire.run_for(wire.latency_ns);
    assert_eq!(times(&wire, 0, is_initiation).len(), 2);
}

#[test]
fn received_data_is_acknowledged_after_10_s_of_silence() {
    let mut wire = Wire::connected(34);
    wire.send(0);
    let received_ns = wire.now_ns + wire.latency_ns;
    wire.run_for(30 * S);
    assert_eq!(times(&wire, 1, Datagram::is_keepalive), [received_ns + 10 * S]);
    let keepalives = times(&wire, 0, Datagram::is_keepalive).len();
    assert_eq!(
        keepalives, 1,
        "only the one that confirmed the session: a keepalive is not answered"
    );
    assert_eq!(times(&wire, 0, is_initiation).len(), 1);
}

#[test]
fn an_answer_within_10_s_replaces_the_keepalive() {
    let mut wire = Wire::connected(35);
    wire.send(0);
    wire.run_for(9 * S);
    wire.send(1);
    wire.run_for(5 * S);
    assert_eq!(times(&wire, 1, Datagram::is_keepalive), []);
}

#[test]
fn unanswered_data_starts_a_handshake_after_15_s_and_jitter() {
    let mut wire = Wire::connected(36);
    wire.loses = Box::new(|from, _| from == 1);
    let sent_ns = wire.now_ns;
    wire.send(0);
    wire.run_for(4 * S);
    wire.send(0);
    wire.run_until(sent_ns + 15 * S - 1);
    assert_eq!(times(&wire, 0, is_initiation).len(), 1);
    wire.run_until(sent_ns + 16 * S);
    let initiations = times(&wire, 0, is_initiation);
    assert_eq!(initiations.len(), 2);
    assert!((15 * S..15 * S + 334 * MS).contains(&(initiations[1] - sent_ns)));
    assert_eq!(wire.ends[0].count_events("peer.unanswered"), 1);
    assert_eq!(wire.ends[0].path.unwrap().source, None, "the source may not work any more");
}

#[test]
fn persistent_keepalive_counts_from_the_last_message() {
    let mut wire = Wire::connected(37);
    wire.run_for(20 * S);
    wire.change_peer(0, |change| change.persistent_keepalive_s = Some(25));
    let set_ns = wire.now_ns;
    wire.run_for(30 * S);
    wire.send(1);
    let received_ns = wire.now_ns + wire.latency_ns;
    wire.run_for(26 * S);
    let keepalives = times(&wire, 0, Datagram::is_keepalive);
    // The first confirmed the session; the one 10 s after the data is its acknowledgement.
    assert_eq!(
        keepalives[1..],
        [set_ns, set_ns + 25 * S, received_ns + 10 * S],
        "at once, then after 25 s of silence"
    );
    wire.run_for(20 * S);
    assert_eq!(*times(&wire, 0, Datagram::is_keepalive).last().unwrap(), received_ns + 35 * S);
    wire.change_peer(0, |change| change.persistent_keepalive_s = Some(0));
    let before = wire.sent.len();
    wire.run_for(100 * S);
    assert_eq!(wire.sent.len(), before);
}

#[test]
fn persistent_keepalive_starts_the_first_handshake() {
    let mut wire = Wire::new(38);
    wire.change_peer(0, |change| change.persistent_keepalive_s = Some(25));
    assert_eq!(times(&wire, 0, is_initiation), [wire.now_ns]);
    wire.run_for(S);
    assert!(wire.ends[1].sending.is_some());
    assert_eq!(wire.ends[0].peer_status().persistent_keepalive_s, 25);
}

#[test]
fn persistent_keepalive_starts_once_the_endpoint_is_set() {
    let mut wire = Wire::new(39);
    let (public_key, address) = (wire.ends[1].public_key, wire.ends[1].address);
    wire.configure(0, |device, _| device.remove_peer(&public_key));
    wire.change_peer(0, |change| change.persistent_keepalive_s = Some(25));
    wire.run_for(100 * S);
    assert!(wire.sent.is_empty());
    wire.change_peer(0, |change| change.endpoint = Some(address));
    assert_eq!(times(&wire, 0, is_initiation), [wire.now_ns]);
}

#[test]
fn persistent_keepalive_continues_after_giving_up() {
    let mut wire = Wire::new(40);
    wire.loses = Box::new(|_, _| true);
    wire.change_peer(0, |change| change.persistent_keepalive_s = Some(25));
    wire.run_for(100 * S);
    assert_eq!(wire.ends[0].count_events("peer.handshake_given_up"), 1);
    wire.loses = Box::new(|_, _| false);
    wire.run_for(26 * S);
    assert!(wire.ends[1].sending.is_some());
}

#[test]
fn a_handshake_is_given_up_after_18_initiations_in_90_s() {
    let mut wire = Wire::new(41);
    wire.loses = Box::new(|_, _| true);
    let start_ns = wire.now_ns;
    wire.send(0);
    wire.run_until(start_ns + 90 * S - 1);
    assert_eq!(wire.ends[0].count_events("peer.handshake_given_up"), 0);
    assert_eq!(wire.ends[0].staged, 1);
    wire.run_until(start_ns + 97 * S);
    assert_eq!(wire.ends[0].count_events("peer.handshake_given_up"), 1);
    assert_eq!(wire.ends[0].staged, 0);
    let initiations = times(&wire, 0, is_initiation);
    assert_eq!(initiations.len(), 18);
    assert!(initiations.windows(2).all(|w| (5 * S..5 * S + 334 * MS).contains(&(w[1] - w[0]))));
    assert!(initiations.windows(2).any(|w| w[1] - w[0] != 5 * S), "there is a jitter");
    wire.run_for(300 * S);
    assert_eq!(times(&wire, 0, is_initiation).len(), 18);

    wire.loses = Box::new(|_, _| false);
    wire.send(0);
    wire.run_for(S);
    assert_eq!(wire.ends[1].delivered, 1);
}

#[test]
fn a_handshake_is_not_given_up_while_there_is_traffic() {
    let mut wire = Wire::new(42);
    wire.loses = Box::new(|_, _| true);
    for _ in 0..200 {
        wire.send(0);
        wire.run_for(S);
    }
    assert_eq!(wire.ends[0].count_events("peer.handshake_given_up"), 0);
    let initiations = times(&wire, 0, is_initiation);
    assert!(initiations.windows(2).all(|w| w[1] - w[0] >= 5 * S), "at most one in 5 s");
}

#[test]
fn a_handshake_requested_too_soon_starts_after_5_s() {
    let mut wire = Wire::new(43);
    // End 1's response is lost, so its own packet has to wait.
    wire.loses = Box::new(|from, datagram| from == 1 && datagram.is(2));
    wire.send(0);
    wire.run_for(20 * MS);
    let responded_ns = times(&wire, 1, |datagram| datagram.is(2))[0];
    wire.send(1);
    assert_eq!(times(&wire, 1, is_initiation), []);
    let peer = wire.ends[1].public_key;
    wire.configure(0, |device, _| device.remove_peer(&peer));
    wire.run_for(6 * S);
    assert_eq!(times(&wire, 1, is_initiation), [responded_ns + 5 * S]);
}
