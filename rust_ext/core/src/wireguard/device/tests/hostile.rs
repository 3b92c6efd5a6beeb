//! Forged, replayed and unauthenticated messages change no state.

use std::net::SocketAddr;

use proptest::prelude::*;

use super::{super::*, wire::*};
use crate::{
    drop_reason::HandshakeDrop,
    packet::message_header::{INITIATION_LENGTH, RESPONSE_LENGTH},
    wireguard::noise::cookie::CookieJar,
};

const ELSEWHERE: &str = "203.0.113.66:6666";

fn elsewhere() -> SocketAddr {
    ELSEWHERE.parse().unwrap()
}

/// The first initiation of end 0, which did not arrive.
fn captured(wire: &mut Wire) -> Datagram {
    wire.loses = Box::new(|_, _| true);
    wire.send(0);
    wire.loses = Box::new(|_, _| false);
    wire.sent[0].2.clone()
}

/// The state of end `i` that a message may change.
fn state(wire: &Wire, i: usize) -> (usize, usize, usize, Option<SocketAddr>, u64) {
    let end = &wire.ends[i];
    let sent = wire.sent.iter().filter(|(_, by, _)| *by == i).count();
    let endpoint = end.path.map(|path| path.destination);
    (sent, end.receiving.len(), end.log.len(), endpoint, end.last_handshake_unix_ns())
}

#[test]
fn each_flipped_bit_before_mac2_is_detected() {
    let mut wire = Wire::new(50);
    let initiation = captured(&mut wire);
    let before = state(&wire, 1);
    for bit in 0..(INITIATION_LENGTH - 16) * 8 {
        let mut bytes = initiation.bytes().to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let reason = wire.arrive(1, elsewhere(), Datagram::Handshake(bytes), 0).unwrap_err();
        let expected = if bit < 32 { HandshakeDrop::Malformed } else { HandshakeDrop::InvalidMac1 };
        assert_eq!(reason, expected, "bit {bit}");
    }
    assert_eq!(state(&wire, 1), before);
    assert_eq!(wire.arrive(1, elsewhere(), initiation, 0), Ok(()));
}

/// mac1 needs the public key only, so the Noise message must be authenticated as well.
#[test]
fn each_flipped_bit_of_the_noise_message_is_detected() {
    let mut wire = Wire::new(51);
    let initiation = captured(&mut wire);
    let before = state(&wire, 1);
    let mut jar = CookieJar::new(&wire.ends[1].public_key);
    for bit in (8 * 8..116 * 8).step_by(3) {
        let mut bytes = initiation.bytes().to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        jar.sign(&mut bytes, wire.now_ns);
        let result = wire.arrive(1, elsewhere(), Datagram::Handshake(bytes), 0);
        assert_eq!(result, Err(HandshakeDrop::BadHandshake), "bit {bit}");
    }
    assert_eq!(state(&wire, 1), before);
}

#[test]
fn a_forged_response_does_not_block_the_genuine_one() {
    let mut wire = Wire::new(52);
    wire.loses = Box::new(|from, _| from == 1);
    wire.send(0);
    wire.run_for(S);
    let response = wire.sent.iter().find(|(.., d)| d.is(2)).unwrap().2.clone();
    assert_eq!(response.bytes().len(), RESPONSE_LENGTH);
    let before = state(&wire, 0);
    let mut jar = CookieJar::new(&wire.ends[0].public_key);
    for byte in 12..60 {
        let mut bytes = response.bytes().to_vec();
        bytes[byte] ^= 0x10;
        jar.sign(&mut bytes, wire.now_ns);
        let result = wire.arrive(0, elsewhere(), Datagram::Handshake(bytes), 0);
        assert_eq!(result, Err(HandshakeDrop::BadHandshake), "byte {byte}");
    }
    assert_eq!(state(&wire, 0), before);
    let endpoint = wire.ends[1].address;
    assert_eq!(wire.arrive(0, endpoint, response.clone(), 0), Ok(()));
    assert_eq!(wire.arrive(0, endpoint, response, 0), Err(HandshakeDrop::StaleResponse));
}

#[test]
fn a_replayed_initiation_changes_nothing() {
    let mut wire = Wire::connected(53);
    let initiation = wire.sent[0].2.clone();
    let before = state(&wire, 1);
    wire.run_for(S);
    let result = wire.arrive(1, elsewhere(), initiation.clone(), 0);
    assert_eq!(result, Err(HandshakeDrop::ReplayedTimestamp));
    wire.run_for(10 * S);
    let peer = wire.ends[0].peer;
    wire.configure(0, |device, now| device.handle_report(Report::WantsHandshake(peer), now));
    wire.run_for(S);
    assert_ne!(state(&wire, 1), before, "a new one is accepted");
    let before = state(&wire, 1);
    let result = wire.arrive(1, elsewhere(), initiation, 0);
    assert_eq!(result, Err(HandshakeDrop::ReplayedTimestamp), "an old one is not");
    assert_eq!(state(&wire, 1), before);
}

#[test]
fn initiations_of_a_peer_are_accepted_every_20_ms_at_most() {
    let mut wire = Wire::new(54);
    let (from, peer) = (wire.ends[0].address, wire.ends[0].peer);
    wire.loses = Box::new(|_, _| true);
    let mut initiations = Vec::new();
    for _ in 0..3 {
        wire.configure(0, |device, now| device.handle_report(Report::WantsHandshake(peer), now));
        initiations.push(wire.sent.last().unwrap().2.clone());
        wire.run_for(5 * S);
    }
    assert_eq!(wire.arrive(1, from, initiations[0].clone(), 0), Ok(()));
    wire.now_ns += 20 * MS;
    assert_eq!(wire.arrive(1, from, initiations[1].clone(), 0), Err(HandshakeDrop::Flood));
    wire.now_ns += 1;
    assert_eq!(wire.arrive(1, from, initiations[1].clone(), 0), Ok(()));
}

#[test]
fn messages_of_unknown_peers_are_counted_by_reason() {
    let mut wire = Wire::new(55);
    let mut unknown = Wire::new(56);
    let public_key = wire.ends[1].public_key;
    unknown.configure(0, |device, now| {
        let endpoint = Some(elsewhere());
        device.set_peer(PeerChange { public_key, endpoint, ..PeerChange::default() }, now)
    });
    let peer = PeerId(1);
    unknown.configure(0, |device, now| device.handle_report(Report::WantsHandshake(peer), now));
    let initiation = unknown.sent[0].2.clone();
    let other = Datagram::Handshake(vec![1, 0, 0, 0]);
    let before = state(&wire, 1);
    assert_eq!(wire.arrive(1, elsewhere(), initiation.clone(), 0), Err(HandshakeDrop::UnknownPeer));
    assert_eq!(wire.arrive(0, elsewhere(), initiation, 0), Err(HandshakeDrop::InvalidMac1));
    assert_eq!(wire.arrive(1, elsewhere(), other, 0), Err(HandshakeDrop::Malformed));
    assert_eq!(state(&wire, 1), before);
    let tally = wire.ends[1].device.counts();
    assert_eq!((tally.received, tally.taken, tally.dropped()), (2, 0, 2));
}

#[test]
fn nothing_is_answered_without_a_private_key() {
    let mut wire = Wire::new(57);
    let initiation = captured(&mut wire);
    wire.configure(1, |device, now| device.set_private_key(None, now));
    assert_eq!(wire.arrive(1, elsewhere(), initiation, 0), Err(HandshakeDrop::NoKey));
    wire.send(1);
    assert_eq!(times(&wire, 1, |_| true), []);
    assert_eq!(wire.ends[1].device.poll_timeout(), None);
}

/// The responder is under load: the initiator's next attempt carries the cookie.
#[test]
fn under_load_an_initiator_needs_a_cookie() {
    let mut wire = Wire::new(58);
    let from = wire.ends[0].address;
    let initiation = captured(&mut wire);
    let result = wire.arrive(1, from, initiation.clone(), receive::UNDER_LOAD_AT);
    assert_eq!(result, Err(HandshakeDrop::CookieRequired));
    assert_eq!(wire.ends[1].count_events("handshake.under_load"), 1);
    let reply = wire.sent.last().unwrap().2.clone();
    assert!(
        reply.is(3) && reply.bytes().len() == 64,
        "shorter than the initiation: no amplification"
    );
    let endpoint = wire.ends[0].path;
    assert_eq!(wire.arrive(0, elsewhere(), reply.clone(), 0), Ok(()));
    assert_eq!(wire.ends[0].path, endpoint, "a cookie never moves an endpoint");
    let again = wire.arrive(0, elsewhere(), reply, 0);
    assert_eq!(again, Err(HandshakeDrop::InvalidCookie));

    wire.loses = Box::new(|_, _| true);
    wire.run_for(6 * S);
    let next = wire.sent.last().unwrap().2.clone();
    assert!(next.is(1));
    let loaded = receive::UNDER_LOAD_AT;
    let other_port = SocketAddr::new(from.ip(), from.port() + 1);
    let result = wire.arrive(1, other_port, next.clone(), loaded);
    assert_eq!(result, Err(HandshakeDrop::CookieRequired), "the cookie is bound to the port");
    assert_eq!(wire.arrive(1, from, next, loaded), Ok(()));
}

/// The initiator is under load: the responder's next response carries the cookie.
#[test]
fn under_load_a_responder_needs_a_cookie() {
    let mut wire = Wire::new(59);
    wire.send(0);
    wire.run_for(15 * MS);
    let response = wire.sent.last().unwrap().2.clone();
    assert!(response.is(2));
    let mut is_first = true;
    wire.loses = Box::new(move |_, d| d.is(2) && std::mem::replace(&mut is_first, false));
    let responder = wire.ends[1].address;
    let result = wire.arrive(0, responder, response, receive::UNDER_LOAD_AT);
    assert_eq!(result, Err(HandshakeDrop::CookieRequired));
    wire.run_for(MS);
    let before = wire.ends[1].count_events("peer.cookie_received");
    wire.run_for(30 * S);
    assert_eq!((before, wire.ends[1].count_events("peer.cookie_received")), (0, 1));
    assert_eq!(wire.ends[1].delivered, 1);
}

#[test]
fn the_device_stays_under_load_for_one_second() {
    let mut wire = Wire::new(60);
    let initiation = captured(&mut wire);
    let cookie = Err(HandshakeDrop::CookieRequired);
    let from = wire.ends[0].address;
    assert_eq!(wire.arrive(1, from, initiation.clone(), receive::UNDER_LOAD_AT), cookie);
    wire.now_ns += S - 1;
    assert_eq!(wire.arrive(1, from, initiation.clone(), 0), cookie);
    wire.now_ns += 1;
    assert_eq!(wire.arrive(1, from, initiation, receive::UNDER_LOAD_AT - 1), Ok(()));
}

#[test]
fn under_load_a_source_with_a_cookie_is_rate_limited() {
    let mut wire = Wire::new(61);
    let from = wire.ends[0].address;
    let initiation = captured(&mut wire);
    let loaded = receive::UNDER_LOAD_AT;
    let result = wire.arrive(1, from, initiation, loaded);
    assert_eq!(result, Err(HandshakeDrop::CookieRequired));
    wire.run_for(50 * MS);
    wire.loses = Box::new(|_, _| true);
    wire.run_for(6 * S);
    let next = wire.sent.last().unwrap().2.clone();
    assert_eq!(wire.arrive(1, from, next.clone(), loaded), Ok(()));
    for _ in 1..5 {
        let result = wire.arrive(1, from, next.clone(), loaded);
        assert_eq!(result, Err(HandshakeDrop::ReplayedTimestamp));
    }
    let result = wire.arrive(1, from, next, loaded);
    assert_eq!(result, Err(HandshakeDrop::RateLimited));
}

proptest! {
    #[test]
    fn arbitrary_bytes_change_no_state(
        kind in 0u8..5,
        mut bytes in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..200),
            prop::collection::vec(any::<u8>(), 148),
            prop::collection::vec(any::<u8>(), 92),
            prop::collection::vec(any::<u8>(), 64),
        ],
        signed: bool,
        queued in 0usize..256,
    ) {
        let mut wire = Wire::new(62);
        wire.send(0);
        if let Some(header) = bytes.first_chunk_mut::<4>() {
            *header = [kind, 0, 0, 0];
        }
        if signed && bytes.len() > 64 {
            CookieJar::new(&wire.ends[0].public_key).sign(&mut bytes, wire.now_ns);
        }
        let before = state(&wire, 0);
        prop_assert!(wire.arrive(0, elsewhere(), Datagram::Handshake(bytes), queued).is_err());
        let after = state(&wire, 0);
        prop_assert_eq!((after.1, after.3, after.4), (before.1, before.3, before.4));
        prop_assert!(after.0 <= before.0 + 1, "at most a cookie reply");
        prop_assert_eq!(wire.ends[0].device.counts().dropped(), 1);
    }
}
