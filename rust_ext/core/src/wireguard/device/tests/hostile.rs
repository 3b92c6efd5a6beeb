//! What strangers and attackers send, and what it changes: nothing.

use std::net::SocketAddr;

use proptest::prelude::*;

use super::{super::*, wire::*};
use crate::{
    drop_reason::HandshakeDrop,
    wireguard::noise::{
        cookie::CookieJar,
        message::{INITIATION_LENGTH, RESPONSE_LENGTH},
    },
};

const ELSEWHERE: &str = "203.0.113.66:6666";

fn elsewhere() -> SocketAddr {
    ELSEWHERE.parse().unwrap()
}

/// The first initiation of end 0, which never arrived.
fn captured(wire: &mut Wire) -> Datagram {
    wire.loses = Box::new(|_, _| true);
    wire.send(0);
    wire.loses = Box::new(|_, _| false);
    wire.sent[0].2.clone()
}

/// Whatever end `i` shows, sends or installs.
fn state(wire: &Wire, i: usize) -> (usize, usize, usize, Option<SocketAddr>, u64) {
    let end = &wire.ends[i];
    let sent = wire.sent.iter().filter(|(_, by, _)| *by == i).count();
    let endpoint = end.path.map(|path| path.destination);
    (sent, end.receiving.len(), end.log.len(), endpoint, end.last_handshake_unix_ns())
}

#[test]
fn each_flipped_bit_before_mac2_is_noticed() {
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

/// mac1 only needs the public key, so what it covers must prove itself as well.
#[test]
fn each_flipped_bit_of_the_noise_message_is_noticed_behind_a_right_mac1() {
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
fn a_forged_response_does_not_spoil_the_true_one() {
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
    assert_ne!(state(&wire, 1), before, "a new one is taken");
    let before = state(&wire, 1);
    let result = wire.arrive(1, elsewhere(), initiation, 0);
    assert_eq!(result, Err(HandshakeDrop::ReplayedTimestamp), "an old one is not");
    assert_eq!(state(&wire, 1), before);
}

#[test]
fn initiations_of_a_true_peer_are_taken_at_most_every_20_ms() {
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
fn strangers_are_counted_by_what_was_wrong() {
    let mut wire = Wire::new(55);
    let mut stranger = Wire::new(56);
    let public_key = wire.ends[1].public_key;
    stranger.configure(0, |device, now| {
        let endpoint = Some(elsewhere());
        device.set_peer(PeerChange { public_key, endpoint, ..PeerChange::default() }, now)
    });
    let peer = PeerId(1);
    stranger.configure(0, |device, now| device.handle_report(Report::WantsHandshake(peer), now));
    let initiation = stranger.sent[0].2.clone();
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
fn without_a_private_key_nothing_is_answered() {
    let mut wire = Wire::new(57);
    let initiation = captured(&mut wire);
    wire.configure(1, |device, now| device.set_private_key(None, now));
    assert_eq!(wire.arrive(1, elsewhere(), initiation, 0), Err(HandshakeDrop::NoKey));
    wire.send(1);
    assert_eq!(times(&wire, 1, |_| true), []);
    assert_eq!(wire.ends[1].device.poll_timeout(), None);
}

/// The responder is under load: the initiator's next try shows the cookie.
#[test]
fn under_load_an_initiator_needs_a_cookie() {
    let mut wire = Wire::new(58);
    let from = wire.ends[0].address;
    let initiation = captured(&mut wire);
    let result = wire.arrive(1, from, initiation.clone(), answer::LOADED_AT);
    assert_eq!(result, Err(HandshakeDrop::CookieRequired));
    assert_eq!(wire.ends[1].named("handshake.under_load"), 1);
    let reply = wire.sent.last().unwrap().2.clone();
    assert!(reply.is(3) && reply.bytes().len() == 64, "less than was sent: no amplification");
    let endpoint = wire.ends[0].path;
    assert_eq!(wire.arrive(0, elsewhere(), reply.clone(), 0), Ok(()));
    assert_eq!(wire.ends[0].path, endpoint, "a cookie never moves an endpoint");
    let again = wire.arrive(0, elsewhere(), reply, 0);
    assert_eq!(again, Err(HandshakeDrop::InvalidCookie));

    wire.loses = Box::new(|_, _| true);
    wire.run_for(6 * S);
    let next = wire.sent.last().unwrap().2.clone();
    assert!(next.is(1));
    let loaded = answer::LOADED_AT;
    let other_port = SocketAddr::new(from.ip(), from.port() + 1);
    let result = wire.arrive(1, other_port, next.clone(), loaded);
    assert_eq!(result, Err(HandshakeDrop::CookieRequired), "the cookie is bound to the port");
    assert_eq!(wire.arrive(1, from, next, loaded), Ok(()));
}

/// The initiator is under load: the responder's next response shows the cookie.
#[test]
fn under_load_a_responder_needs_a_cookie() {
    let mut wire = Wire::new(59);
    wire.send(0);
    wire.run_for(15 * MS);
    let response = wire.sent.last().unwrap().2.clone();
    assert!(response.is(2));
    let mut wire_loses = true;
    wire.loses = Box::new(move |_, d| d.is(2) && std::mem::replace(&mut wire_loses, false));
    let responder = wire.ends[1].address;
    let result = wire.arrive(0, responder, response, answer::LOADED_AT);
    assert_eq!(result, Err(HandshakeDrop::CookieRequired));
    wire.run_for(MS);
    let before = wire.ends[1].named("peer.cookie_received");
    wire.run_for(30 * S);
    assert_eq!((before, wire.ends[1].named("peer.cookie_received")), (0, 1));
    assert_eq!(wire.ends[1].delivered, 1);
}

#[test]
fn load_is_held_for_one_second() {
    let mut wire = Wire::new(60);
    let initiation = captured(&mut wire);
    let cookie = Err(HandshakeDrop::CookieRequired);
    let from = wire.ends[0].address;
    assert_eq!(wire.arrive(1, from, initiation.clone(), answer::LOADED_AT), cookie);
    wire.now_ns += S - 1;
    assert_eq!(wire.arrive(1, from, initiation.clone(), 0), cookie);
    wire.now_ns += 1;
    assert_eq!(wire.arrive(1, from, initiation, answer::LOADED_AT - 1), Ok(()));
}

#[test]
fn under_load_a_source_with_a_cookie_has_a_rate() {
    let mut wire = Wire::new(61);
    let from = wire.ends[0].address;
    let initiation = captured(&mut wire);
    let loaded = answer::LOADED_AT;
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
    fn no_bytes_make_the_device_fail(
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
        prop_assert!(after.0 <= before.0 + 1, "a cookie at most");
        prop_assert_eq!(wire.ends[0].device.counts().dropped(), 1);
    }
}
