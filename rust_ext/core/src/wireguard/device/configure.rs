//! What the operator sets, and what is shown to him.
//!
//! In: keys, peers, allowed IPs. Out: commands that follow from a change, and the state as `wg show`
//! wants it. A change applies to what comes after it; sessions of peers that stay are kept.

use std::{net::SocketAddr, sync::Arc};

use zeroize::Zeroizing;

use super::{Device, Own, remote::Remote};
use crate::{
    counters::HandshakeTally,
    time::Now,
    wireguard::{
        allowed_ips::Prefix,
        commands::{InboundCommand, OutboundCommand},
        noise::{
            cookie::CookieChecker,
            handshake::{Identity, PeerSecrets, Secret},
            timers::Due,
        },
        path::Path,
        peer::{Activity, PeerId},
    },
};

/// A change to one peer; `None` leaves a property as it is.
#[derive(Clone, Default)]
pub struct PeerChange {
    /// Which peer.
    pub public_key: [u8; 32],
    /// Change it only if it exists.
    pub update_only: bool,
    /// The pre-shared key; zeros remove it. It counts from the next handshake on.
    pub preshared_key: Option<[u8; 32]>,
    /// Where to send to.
    pub endpoint: Option<SocketAddr>,
    /// Seconds of silence after which an empty message is sent; 0 for never.
    pub persistent_keepalive_s: Option<u16>,
    /// Take away all allowed IPs first.
    pub replace_allowed_ips: bool,
    /// Allowed IPs to give to this peer, and so to take from others.
    pub add_allowed_ips: Vec<Prefix>,
    /// Allowed IPs to take from this peer.
    pub remove_allowed_ips: Vec<Prefix>,
}

impl PeerChange {
    /// No change yet to this peer, but that it shall exist.
    pub fn new(public_key: [u8; 32]) -> Self {
        Self { public_key, ..Self::default() }
    }
}

/// A peer as it is shown.
pub struct PeerStatus {
    /// Its name in commands and counts.
    pub peer: PeerId,
    /// Its static public key.
    pub public_key: [u8; 32],
    /// The pre-shared key, if there is one.
    pub preshared_key: Option<Secret>,
    /// Where it was heard from last, or was said to be.
    pub endpoint: Option<SocketAddr>,
    /// Seconds; 0 where it is off.
    pub persistent_keepalive_s: u16,
    /// IPv4 before IPv6, each in the order of their addresses.
    pub allowed_ips: Vec<Prefix>,
    /// When the last handshake was completed; 0 for never.
    pub last_handshake_unix_ns: u64,
    /// Bytes and counts.
    pub activity: Arc<Activity>,
}

impl Device {
    /// Sets our private key, whose bits are clamped; `None` or zeros remove it. A peer that has the
    /// same key is removed. Nothing more is sent with sessions made under the old key.
    pub fn set_private_key(&mut self, private_key: Option<[u8; 32]>, now: Now) {
        let private_key = private_key.map(Zeroizing::new).filter(|key| **key != [0; 32]);
        let identity = private_key.map(|key| Identity::new(&key));
        if identity.as_ref().map(Identity::public_key) == self.public_key().as_ref() {
            return;
        }
        if let Some(identity) = &identity {
            self.remove_peer(identity.public_key());
        }
        for remote in self.peers.values_mut() {
            remote.secrets.static_static =
                identity.as_ref().and_then(|own| own.agree(&remote.secrets.public_key));
        }
        self.identity = identity.map(|identity| {
            let checker = CookieChecker::new(identity.public_key());
            Own { identity, checker }
        });
        let peers: Vec<PeerId> = self.peers.keys().copied().collect();
        for peer in peers {
            self.expire_sessions(peer, now);
            self.reschedule(peer);
        }
    }

    fn expire_sessions(&mut self, peer: PeerId, now: Now) {
        let Some(remote) = self.peers.get_mut(&peer) else { return };
        let waiting = remote.waiting.take();
        let erased = remote.sessions.expire();
        remote.timers.identity_changed();
        let is_initiating = remote.timers.is_initiating();
        if let Some(waiting) = waiting {
            self.by_index.remove(&waiting.local_index);
        }
        self.out.outbound(OutboundCommand::Erase(peer));
        self.forget(erased);
        if is_initiating {
            self.initiate(peer, now);
        }
    }

    /// Adds or changes a peer. Returns whether it exists afterwards: our own public key is no
    /// peer's, and `update_only` adds none.
    pub fn set_peer(&mut self, change: PeerChange, now: Now) -> bool {
        if self.public_key() == Some(change.public_key) {
            return false;
        }
        let peer = match self.by_key.get(&change.public_key) {
            Some(peer) => *peer,
            None if change.update_only => return false,
            None => self.add_peer(change.public_key),
        };
        let Some(remote) = self.peers.get_mut(&peer) else { return false };
        if let Some(key) = change.preshared_key {
            remote.secrets.preshared_key = Zeroizing::new(key);
        }
        let mut wants_keepalive = false;
        if let Some(endpoint) = change.endpoint {
            wants_keepalive = remote.path.is_none() && remote.timers.persistent_keepalive_s() != 0;
            remote.path = Some(Path::to(endpoint));
            self.out.set_path(peer, remote.path);
        }
        if let Some(seconds) = change.persistent_keepalive_s {
            let was_off = remote.timers.persistent_keepalive_s() == 0;
            wants_keepalive = seconds != 0 && (was_off || wants_keepalive);
            remote.timers.set_persistent_keepalive(seconds);
        }
        if wants_keepalive {
            // Without a session it makes the path ask for one.
            remote.timers.fired(Due::PersistentKeepalive, now.boot_ns, &remote.activity);
            self.out.outbound(OutboundCommand::Keepalive(peer));
        }
        self.change_allowed_ips(peer, &change);
        self.reschedule(peer);
        true
    }

    fn add_peer(&mut self, public_key: [u8; 32]) -> PeerId {
        let peer = PeerId(self.next_peer);
        self.next_peer += 1;
        let static_static = self.identity.as_ref().and_then(|own| own.identity.agree(&public_key));
        let preshared_key = Zeroizing::default();
        let remote = Remote::new(PeerSecrets { public_key, static_static, preshared_key });
        let activity = Arc::clone(&remote.activity);
        self.out.inbound(InboundCommand::AddPeer { peer, activity: Arc::clone(&activity) });
        self.out.outbound(OutboundCommand::AddPeer { peer, activity });
        self.by_key.insert(public_key, peer);
        self.peers.insert(peer, remote);
        peer
    }

    fn change_allowed_ips(&mut self, peer: PeerId, change: &PeerChange) {
        let table = &mut self.allowed_ips;
        let mut changed = change.replace_allowed_ips && table.remove_peer(peer);
        for prefix in &change.add_allowed_ips {
            changed |= table.insert(*prefix, peer);
        }
        for prefix in &change.remove_allowed_ips {
            changed |= table.remove(*prefix, peer);
        }
        self.are_routes_stale |= changed;
    }

    /// Removes a peer with its sessions and allowed IPs. Returns whether there was one.
    pub fn remove_peer(&mut self, public_key: &[u8; 32]) -> bool {
        let Some(peer) = self.by_key.remove(public_key) else { return false };
        let Some(remote) = self.peers.remove(&peer) else { return false };
        self.by_index.retain(|_, owner| *owner != peer);
        self.wakes.remove(&(remote.wake_ns, peer));
        self.are_routes_stale |= self.allowed_ips.remove_peer(peer);
        self.out.inbound(InboundCommand::RemovePeer(peer));
        self.out.outbound(OutboundCommand::RemovePeer(peer));
        true
    }

    /// Removes all peers.
    pub fn remove_peers(&mut self) {
        let keys: Vec<[u8; 32]> = self.by_key.keys().copied().collect();
        for key in keys {
            self.remove_peer(&key);
        }
    }

    /// Gives the secrets of handshakes to [`super::Event::KeyLog`], or no longer.
    pub fn set_key_log(&mut self, is_on: bool) {
        self.is_key_logged = is_on;
    }

    /// Our public key.
    pub fn public_key(&self) -> Option<[u8; 32]> {
        self.identity.as_ref().map(|own| *own.identity.public_key())
    }

    /// Our private key, clamped.
    pub fn private_key(&self) -> Option<Secret> {
        self.identity.as_ref().map(|own| own.identity.private_key())
    }

    /// All peers, in the order in which they were added.
    pub fn peers(&self) -> impl Iterator<Item = PeerStatus> + '_ {
        let mut allowed_ips = self.allowed_ips.by_peer();
        self.peers.iter().map(move |(&peer, remote)| PeerStatus {
            peer,
            public_key: remote.secrets.public_key,
            preshared_key: Some(remote.secrets.preshared_key.clone()).filter(|k| **k != [0; 32]),
            endpoint: remote.path.map(|path| path.destination),
            persistent_keepalive_s: remote.timers.persistent_keepalive_s(),
            allowed_ips: allowed_ips.remove(&peer).unwrap_or_default(),
            last_handshake_unix_ns: remote.last_handshake_unix_ns,
            activity: Arc::clone(&remote.activity),
        })
    }

    /// What became of handshake messages.
    pub fn counts(&self) -> &HandshakeTally {
        &self.tally
    }
}
