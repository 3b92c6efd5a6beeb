//! Configuration of the device, and its state as `wg show` needs it.
//!
//! A change applies from then on; sessions of peers that remain are kept.

use std::{net::SocketAddr, sync::Arc};

use zeroize::Zeroizing;

use super::{Device, LocalIdentity, remote::Remote};
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

/// A change of one peer; `None` leaves a property unchanged.
#[derive(Clone, Default)]
pub struct PeerChange {
    /// The peer.
    pub public_key: [u8; 32],
    /// Change it only if it exists.
    pub update_only: bool,
    /// The pre-shared key; zeros remove it. It is used from the next handshake on.
    pub preshared_key: Option<[u8; 32]>,
    /// The endpoint to send to.
    pub endpoint: Option<SocketAddr>,
    /// Seconds without a message after which an empty one is sent; 0 for never.
    pub persistent_keepalive_s: Option<u16>,
    /// Remove all allowed IPs first.
    pub replace_allowed_ips: bool,
    /// Allowed IPs to assign to this peer; other peers lose them.
    pub add_allowed_ips: Vec<Prefix>,
    /// Allowed IPs to remove from this peer.
    pub remove_allowed_ips: Vec<Prefix>,
}

impl PeerChange {
    /// Creates a change that only adds the peer.
    pub fn new(public_key: [u8; 32]) -> Self {
        Self { public_key, ..Self::default() }
    }
}

/// The state of a peer, for display.
pub struct PeerStatus {
    /// Its id.
    pub peer: PeerId,
    /// Its static public key.
    pub public_key: [u8; 32],
    /// The pre-shared key, if there is one.
    pub preshared_key: Option<Secret>,
    /// Where its last authenticated message came from, or the configured endpoint.
    pub endpoint: Option<SocketAddr>,
    /// Seconds; 0 if it is off.
    pub persistent_keepalive_s: u16,
    /// IPv4 before IPv6, each in the order of addresses.
    pub allowed_ips: Vec<Prefix>,
    /// When the last handshake was completed; 0 for never.
    pub last_handshake_unix_ns: u64,
    /// Bytes, times and counts.
    pub activity: Arc<Activity>,
}

impl Device {
    /// Sets our private key, whose bits are clamped; `None` or zeros remove it. A peer with the same key is removed.
    /// Sessions of the old key send no more.
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
                identity.as_ref().and_then(|identity| identity.agree(&remote.secrets.public_key));
        }
        self.identity = identity.map(|identity| {
            let checker = CookieChecker::new(identity.public_key());
            LocalIdentity { identity, checker }
        });
        let peers: Vec<PeerId> = self.peers.keys().copied().collect();
        for peer in peers {
            self.expire_sessions(peer, now);
            self.reschedule(peer);
        }
    }

    fn expire_sessions(&mut self, peer: PeerId, now: Now) {
        let Some(remote) = self.peers.get_mut(&peer) else { return };
        let pending = remote.pending.take();
        let erased = remote.sessions.expire();
        remote.timers.identity_changed();
        let is_initiating = remote.timers.is_initiating();
        if let Some(pending) = pending {
            self.by_index.remove(&pending.local_index);
        }
        self.out.outbound(OutboundCommand::Erase(peer));
        self.erase_sessions(erased);
        if is_initiating {
            self.initiate(peer, now);
        }
    }

    /// Adds or changes a peer. Returns whether it exists afterwards: a peer must not have our own public key, and
    /// `update_only` adds none.
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
            // Without a session, the path requests one.
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
        let static_static =
            self.identity.as_ref().and_then(|local| local.identity.agree(&public_key));
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
        self.are_routes_changed |= changed;
    }

    /// Removes a peer with its sessions and allowed IPs. Returns whether there was one.
    pub fn remove_peer(&mut self, public_key: &[u8; 32]) -> bool {
        let Some(peer) = self.by_key.remove(public_key) else { return false };
        let Some(remote) = self.peers.remove(&peer) else { return false };
        self.by_index.retain(|_, owner| *owner != peer);
        self.wakes.remove(&(remote.wake_ns, peer));
        self.are_routes_changed |= self.allowed_ips.remove_peer(peer);
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

    /// Turns [`super::Event::KeyLog`] on or off.
    pub fn set_key_log(&mut self, is_on: bool) {
        self.is_key_logged = is_on;
    }

    /// Returns our public key.
    pub fn public_key(&self) -> Option<[u8; 32]> {
        self.identity.as_ref().map(|local| *local.identity.public_key())
    }

    /// Returns our private key, clamped.
    pub fn private_key(&self) -> Option<Secret> {
        self.identity.as_ref().map(|local| local.identity.private_key())
    }

    /// Returns all peers in the order in which they were added.
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

    /// The counts of handshake messages.
    pub fn counts(&self) -> &HandshakeTally {
        &self.tally
    }
}
