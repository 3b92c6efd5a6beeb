//! Handshakes between two cooperating ends.

use super::{super::*, end::End, wire::*};
use crate::drop_reason::HandshakeDrop;

#[test]
fn the_first_packet_is_staged_until_the_handshake_completes() {
    for i in 0..2 {
        let mut wire = Wire::new(1);
        wire.send(i);
        assert_eq!(wire.ends[i].staged, 1);
        wire.run_for(S);
        assert_eq!(wire.ends[1 - i].delivered, 1);
        wire.send(1 - i);
        wire.run_for(S);
        assert_eq!(wire.ends[i].delivered, 1);
        let roles = wire.ends.each_ref().map(|end| {
            end.events.iter().find_map(|event| match event {
                Event::HandshakeCompleted { role, took_ns, .. } => Some((*role, *took_ns)),
                _ => None,
            })
        });
        let round_trip_ns = 20 * MS;
        assert_eq!(roles[i], Some((Role::Initiator, round_trip_ns)));
        assert_eq!(roles[1 - i], Some((Role::Responder, round_trip_ns)));
        assert!(wire.ends.iter().all(|end| end.last_handshake_unix_ns() != 0));
    }
}

#[test]
fn the_receiving_half_is_installed_before_the_sending_half() {
    let wire = Wire::connected(2);
    let installs = |end: &End| -> Vec<String> {
        end.log.iter().filter(|line| line.ends_with("Install")).cloned().collect()
    };
    assert_eq!(installs(&wire.ends[0]), ["Inbound Install", "Outbound Install"]);
    assert_eq!(installs(&wire.ends[1]), ["Inbound Install", "Outbound Install"]);
    for end in &wire.ends {
        let position = |name: &str| end.log.iter().position(|line| line == name).unwrap();
        assert!(position("Inbound AddPeer") < position("Inbound SetPath"));
        assert!(position("Outbound AddPeer") < position("Outbound SetPath"));
    }
}

#[test]
fn a_responder_sends_only_after_the_initiator() {
    let mut wire = Wire::new(3);
    wire.loses = Box::new(|from, datagram| from == 0 && datagram.is_keepalive());
    wire.ends[0].device.handle_report(Report::WantsHandshake(wire.ends[0].peer), wire.now());
    wire.run_for(S);
    assert!(wire.ends[0].sending.is_some());
    assert!(wire.ends[1].sending.is_none());
    assert_eq!(wire.ends[1].last_handshake_unix_ns(), 0);
    wire.send(0);
    wire.run_for(S);
    assert!(wire.ends[1].sending.is_some());
    assert_eq!(wire.ends[1].delivered, 1);
}

#[test]
fn both_ends_need_the_same_preshared_key() {
    let mut wire = Wire::new(4);
    wire.change_peer(0, |change| change.preshared_key = Some([7; 32]));
    wire.change_peer(1, |change| change.preshared_key = Some([8; 32]));
    wire.send(0);
    wire.run_for(S);
    assert!(wire.ends[0].sending.is_none());
    assert_eq!(wire.ends[0].drops(HandshakeDrop::BadHandshake), 1);
    wire.change_peer(1, |change| change.preshared_key = Some([7; 32]));
    wire.run_for(6 * S);
    assert_eq!(wire.ends[1].delivered, 1);
    assert_eq!(wire.ends[0].peer_status().preshared_key.as_deref(), Some(&[7; 32]));
    wire.change_peer(0, |change| change.preshared_key = Some([0; 32]));
    assert!(wire.ends[0].peer_status().preshared_key.is_none());
}

#[test]
fn a_lost_initiation_is_retried_after_5_s_and_a_jitter() {
    let mut wire = Wire::new(5);
    let mut lost = false;
    wire.loses = Box::new(move |_, datagram| datagram.is(1) && !std::mem::replace(&mut lost, true));
    let start_ns = wire.now_ns;
    wire.send(0);
    wire.run_for(10 * S);
    let initiations = times(&wire, 0, |datagram| datagram.is(1));
    assert_eq!(initiations.len(), 2);
    assert_eq!(initiations[0], start_ns);
    assert!((5 * S..5 * S + 334 * MS).contains(&(initiations[1] - start_ns)));
    assert_eq!(wire.ends[1].delivered, 1);
    assert_eq!(wire.ends[0].count_events("peer.handshake_retried"), 1);
}

#[test]
fn a_lost_response_is_replaced_after_the_next_initiation() {
    let mut wire = Wire::new(6);
    let mut lost = false;
    wire.loses = Box::new(move |_, datagram| datagram.is(2) && !std::mem::replace(&mut lost, true));
    wire.send(0);
    wire.run_for(6 * S);
    assert_eq!(wire.ends[1].delivered, 1);
    assert_eq!(wire.ends[1].receiving.len(), 1, "the session of the lost response is erased");
}

#[test]
fn handshake_messages_count_as_bytes_of_the_peer() {
    let wire = Wire::connected(7);
    let bytes = wire.ends.each_ref().map(|end| end.peer_status().activity.bytes());
    assert_eq!(bytes[0], (148 + 32, 92));
    assert_eq!(bytes[1], (92, 148 + 32));
}

#[test]
fn an_initiation_from_elsewhere_moves_the_endpoint() {
    let mut wire = Wire::connected(8);
    wire.run_for(10 * S);
    wire.ends[0].address = "198.51.100.9:1000".parse().unwrap();
    let peer = wire.ends[0].peer;
    wire.configure(0, |device, now| device.handle_report(Report::WantsHandshake(peer), now));
    wire.run_for(S);
    let elsewhere = wire.ends[0].address;
    assert_eq!(wire.ends[1].path.unwrap().destination, elsewhere);
    assert_eq!(wire.ends[1].peer_status().endpoint, Some(elsewhere));
    assert!(matches!(
        wire.ends[1].events.iter().find(|event| event.name() == "peer.moved"),
        Some(Event::EndpointMoved { endpoint, was: Some(_), .. }) if *endpoint == elsewhere
    ));
    wire.send(1);
    wire.run_for(S);
    assert_eq!(wire.ends[0].delivered, 1);
}

#[test]
fn data_from_elsewhere_moves_the_endpoint() {
    let mut wire = Wire::connected(9);
    wire.ends[0].address = "198.51.100.9:1000".parse().unwrap();
    wire.send(0);
    wire.run_for(S);
    assert_eq!(wire.ends[1].path.unwrap().destination, wire.ends[0].address);
    assert_eq!(wire.ends[1].peer_status().endpoint, Some(wire.ends[0].address));
}

#[test]
fn a_responder_without_an_endpoint_learns_it() {
    let mut wire = Wire::new(10);
    let public_key = wire.ends[0].public_key;
    wire.configure(1, |device, _| device.remove_peer(&public_key));
    wire.change_peer(1, |_| {});
    assert_eq!(wire.ends[1].peer_status().endpoint, None);
    wire.send(0);
    wire.run_for(S);
    wire.send(1);
    wire.run_for(S);
    assert_eq!(wire.ends.each_ref().map(|end| end.delivered), [1, 1]);
}

#[test]
fn renewing_a_session_under_traffic_loses_nothing() {
    let mut wire = Wire::connected(11);
    for sent in 1..=400 {
        wire.send(0);
        wire.send(1);
        wire.run_for(S);
        assert_eq!(wire.ends.each_ref().map(|end| end.delivered), [sent, sent]);
    }
    assert_eq!(times(&wire, 0, |datagram| datagram.is(1)).len(), 4, "every 120 s");
    assert_eq!(times(&wire, 1, |datagram| datagram.is(1)).len(), 0, "only the initiator renews");
    assert!(wire.ends.iter().all(|end| end.receiving.len() == 2));
}

#[test]
fn the_key_log_has_the_secrets_of_the_handshake() {
    let mut wire = Wire::new(12);
    wire.configure(0, |device, _| device.set_key_log(true));
    wire.send(0);
    wire.run_for(S);
    let logs: Vec<&KeyLog> = wire.ends[0]
        .events
        .iter()
        .filter_map(|event| match event {
            Event::KeyLog(log) => Some(log),
            _ => None,
        })
        .collect();
    assert_eq!(logs.len(), 1);
    let ephemeral = Identity::new(&logs[0].ephemeral_secret);
    let initiation = wire.sent[0].2.bytes();
    assert_eq!(initiation[8..40], ephemeral.public_key()[..]);
    assert_eq!(Identity::new(&logs[0].static_secret).public_key(), &wire.ends[0].public_key);
    assert!(!format!("{:?}", wire.ends[0].events).contains("secret"));
    assert_eq!(wire.ends[1].count_events("handshake.key_log"), 0);
}
