//! Changes of the configuration while the tunnel runs.

use super::{super::*, wire::*};
use crate::{drop_reason::HandshakeDrop, wireguard::allowed_ips::Prefix};

fn prefix(text: &str) -> Prefix {
    text.parse().unwrap()
}

#[test]
fn a_removed_peer_can_be_added_again() {
    let mut wire = Wire::connected(70);
    let (public_key, address) = (wire.ends[1].public_key, wire.ends[1].address);
    let first = wire.ends[0].peer;
    assert!(wire.configure(0, |device, _| device.remove_peer(&public_key)));
    assert!(!wire.configure(0, |device, _| device.remove_peer(&public_key)));
    assert_eq!(wire.ends[0].device.poll_timeout(), None);
    wire.run_for(6 * S);
    wire.change_peer(0, |change| change.endpoint = Some(address));
    assert_ne!(wire.ends[0].peer, first, "its id is not reused");
    wire.send(0);
    wire.run_for(S);
    assert_eq!(wire.ends[1].delivered, 1);
}

/// The timestamp of its next initiation is later than the last.
#[test]
fn a_peer_added_again_at_once_is_no_replay() {
    let mut wire = Wire::connected(71);
    let (public_key, address) = (wire.ends[1].public_key, wire.ends[1].address);
    for _ in 0..3 {
        wire.configure(0, |device, _| device.remove_peer(&public_key));
        wire.change_peer(0, |change| change.endpoint = Some(address));
        wire.send(0);
    }
    wire.run_for(S);
    assert_eq!(wire.ends[1].drops(HandshakeDrop::ReplayedTimestamp), 0);
}

#[test]
fn a_peer_must_not_have_our_own_key() {
    let mut wire = Wire::new(72);
    let public_key = wire.ends[0].public_key;
    let change = PeerChange::new(public_key);
    assert!(!wire.configure(0, |device, now| device.set_peer(change, now)));
    assert_eq!(wire.ends[0].device.peers().count(), 1);
    let private_key = wire.ends[1].device.private_key().map(|key| *key);
    wire.configure(0, |device, now| device.set_private_key(private_key, now));
    assert_eq!(wire.ends[0].device.peers().count(), 0, "its key is ours now");
    assert_eq!(wire.ends[0].device.public_key(), Some(wire.ends[1].public_key));
}

#[test]
fn update_only_adds_no_peer() {
    let mut wire = Wire::new(73);
    let change = PeerChange { public_key: [9; 32], update_only: true, ..PeerChange::default() };
    assert!(!wire.configure(0, |device, now| device.set_peer(change, now)));
    assert_eq!(wire.ends[0].device.peers().count(), 1);
}

#[test]
fn a_new_private_key_ends_sending_not_receiving() {
    let mut wire = Wire::connected(74);
    wire.send(1);
    wire.configure(0, |device, now| device.set_private_key(Some([42; 32]), now));
    assert!(wire.ends[0].sending.is_none());
    wire.run_for(S);
    assert_eq!(wire.ends[0].delivered, 1);

    wire.ends[0].public_key = wire.ends[0].device.public_key().unwrap();
    let address = wire.ends[0].address;
    wire.change_peer(1, |change| change.endpoint = Some(address));
    wire.send(0);
    wire.run_for(S);
    assert_eq!(wire.ends[1].delivered, 1, "the next handshake does not wait for 5 s");
}

#[test]
fn setting_the_same_private_key_changes_nothing() {
    let mut wire = Wire::connected(75);
    let private_key = wire.ends[0].device.private_key().map(|key| *key);
    wire.configure(0, |device, now| device.set_private_key(private_key, now));
    assert!(wire.ends[0].sending.is_some());
}

#[test]
fn a_private_key_of_zeros_removes_the_key() {
    let mut wire = Wire::connected(76);
    wire.configure(0, |device, now| device.set_private_key(Some([0; 32]), now));
    assert_eq!(wire.ends[0].device.public_key(), None);
    assert!(wire.ends[0].device.private_key().is_none());
    assert!(wire.ends[0].sending.is_none());
    wire.send(0);
    wire.run_for(100 * S);
    assert_eq!(times(&wire, 0, |datagram| datagram.is(1)).len(), 1, "only the first");
}

#[test]
fn a_running_handshake_restarts_with_a_new_private_key() {
    let mut wire = Wire::new(77);
    wire.loses = Box::new(|_, _| true);
    wire.send(0);
    wire.run_for(S);
    wire.configure(0, |device, now| device.set_private_key(Some([42; 32]), now));
    assert_eq!(times(&wire, 0, |datagram| datagram.is(1)), [S, 2 * S]);
}

#[test]
fn peers_are_listed_in_the_order_of_their_addition() {
    let mut wire = Wire::new(78);
    for first_byte in [9, 3, 7] {
        let mut public_key = [0; 32];
        public_key[0] = first_byte;
        let change = PeerChange {
            public_key,
            add_allowed_ips: vec![prefix(&format!("10.{first_byte}.0.0/16"))],
            ..PeerChange::default()
        };
        wire.configure(0, |device, now| device.set_peer(change, now));
    }
    let others = wire.ends[0].device.peers().skip(1);
    let listed: Vec<(u8, String)> =
        others.map(|peer| (peer.public_key[0], peer.allowed_ips[0].to_string())).collect();
    let expected = [(9, "10.9.0.0/16"), (3, "10.3.0.0/16"), (7, "10.7.0.0/16")];
    assert_eq!(listed, expected.map(|(key, prefix)| (key, prefix.to_owned())));
}

#[test]
fn allowed_ips_are_added_removed_moved_and_replaced() {
    let mut wire = Wire::new(79);
    let other = [3; 32];
    wire.change_peer(0, |change| {
        change.add_allowed_ips = vec![prefix("10.0.0.0/8"), prefix("fd00::/8")];
    });
    let change = PeerChange {
        public_key: other,
        add_allowed_ips: vec![prefix("10.0.0.0/8")],
        ..PeerChange::default()
    };
    wire.configure(0, |device, now| device.set_peer(change, now));
    let listed = |wire: &Wire| -> Vec<Vec<Prefix>> {
        wire.ends[0].device.peers().map(|peer| peer.allowed_ips).collect()
    };
    assert_eq!(listed(&wire), [vec![prefix("fd00::/8")], vec![prefix("10.0.0.0/8")]]);
    wire.change_peer(0, |change| {
        change.replace_allowed_ips = true;
        change.add_allowed_ips = vec![prefix("192.168.0.0/16"), prefix("172.16.0.0/12")];
        change.remove_allowed_ips = vec![prefix("172.16.0.0/12"), prefix("10.0.0.0/8")];
    });
    assert_eq!(listed(&wire), [vec![prefix("192.168.0.0/16")], vec![prefix("10.0.0.0/8")]]);
    wire.configure(0, |device, _| device.remove_peers());
    assert_eq!(wire.ends[0].device.peers().count(), 0);
}

#[test]
fn both_paths_get_one_snapshot_for_many_changes() {
    let mut wire = Wire::new(80);
    let routes = |wire: &Wire| wire.ends[0].log.iter().filter(|l| l.ends_with("Routes")).count();
    let before = routes(&wire);
    wire.configure(0, |device, now| {
        for last in 1..=10 {
            let add_allowed_ips = vec![prefix(&format!("10.0.0.{last}"))];
            let change =
                PeerChange { public_key: [last; 32], add_allowed_ips, ..PeerChange::default() };
            device.set_peer(change, now);
        }
    });
    assert_eq!(routes(&wire) - before, 2);
    assert_eq!(wire.ends[0].routes.len(), 2);
    assert!(Arc::ptr_eq(&wire.ends[0].routes[0], &wire.ends[0].routes[1]), "one snapshot for both");
    wire.change_peer(0, |change| change.persistent_keepalive_s = Some(0));
    assert_eq!(routes(&wire) - before, 2, "the allowed IPs have not changed");
}

#[test]
fn new_sockets_clear_the_source_of_a_path() {
    let mut wire = Wire::connected(81);
    assert!(wire.ends[0].path.unwrap().source.is_some());
    wire.configure(0, Device::handle_bind_changed);
    assert_eq!(wire.ends[0].path.unwrap().source, None);
    wire.send(1);
    wire.run_for(S);
    assert!(wire.ends[0].path.unwrap().source.is_some(), "learnt from the next message");
    let peer = wire.ends[0].peer;
    wire.configure(0, |device, now| device.handle_report(Report::SourceLost(peer), now));
    assert_eq!(wire.ends[0].path.unwrap().source, None);
}

#[test]
fn no_handshake_starts_with_a_key_that_gives_zero() {
    let mut wire = Wire::new(82);
    let change = PeerChange {
        public_key: [0; 32],
        endpoint: Some(wire.ends[1].address),
        persistent_keepalive_s: Some(1),
        ..PeerChange::default()
    };
    wire.configure(0, |device, now| device.set_peer(change, now));
    let peer = wire.ends[0].peer;
    wire.configure(0, |device, now| device.handle_report(Report::WantsHandshake(peer), now));
    wire.run_for(10 * S);
    assert!(wire.sent.is_empty());
}
