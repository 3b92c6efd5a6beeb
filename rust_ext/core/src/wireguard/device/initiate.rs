//! Initiations, at most one in 5 s to a peer, and the end of handshakes and sessions.

use zeroize::Zeroizing;

use super::{
    Device, Transmit,
    event::{Event, KeyLog, Role},
    remote::PendingInitiation,
};
use crate::{
    time::Now,
    wireguard::{
        commands::{InboundCommand, OutboundCommand, ReceiveSession, SendSession},
        noise::{
            handshake::{Initiator, Secret, SessionKeys},
            message::{INITIATION_NOISE, Kind, Message},
            timers::MAX_ATTEMPTS,
        },
        peer::{NEVER, PeerId},
    },
};

impl Device {
    /// Starts a handshake now, or as soon as the last one is 5 s ago.
    pub(super) fn request_handshake(&mut self, peer: PeerId, now: Now) {
        let Some(remote) = self.peers.get_mut(&peer) else { return };
        remote.timers.requested();
        if now.boot_ns >= remote.timers.next_initiation_ns() {
            self.initiate(peer, now);
        } else if !remote.timers.is_initiating() && remote.sessions.are_due(now.boot_ns) {
            remote.timers.defer();
        }
    }

    pub(super) fn start_deferred(&mut self, peer: PeerId, now: Now) {
        if self.peers.get(&peer).is_some_and(|remote| remote.sessions.are_due(now.boot_ns)) {
            self.request_handshake(peer, now);
        }
    }

    pub(super) fn start_unanswered(&mut self, peer: PeerId, now: Now) {
        let Some(remote) = self.peers.get(&peer) else { return };
        let public_key = remote.secrets.public_key;
        self.out.event(Event::Unanswered { peer, public_key });
        self.clear_source(peer);
        self.request_handshake(peer, now);
    }

    pub(super) fn retry(&mut self, peer: PeerId, now: Now) {
        let jitter_ns = self.jitter_ns();
        let Some(remote) = self.peers.get_mut(&peer) else { return };
        if remote.timers.attempts() >= MAX_ATTEMPTS {
            return self.give_up(peer, now);
        }
        if now.boot_ns < remote.timers.next_initiation_ns() {
            return remote.timers.retry_later(jitter_ns);
        }
        self.clear_source(peer);
        self.initiate(peer, now);
    }

    fn give_up(&mut self, peer: PeerId, now: Now) {
        let Some(remote) = self.peers.get_mut(&peer) else { return };
        let (public_key, attempts) = (remote.secrets.public_key, remote.timers.attempts());
        remote.timers.gave_up(now.boot_ns);
        remote.activity.clear_unacknowledged();
        self.out.outbound(OutboundCommand::DropStaged(peer));
        self.out.event(Event::HandshakeGaveUp { peer, public_key, attempts });
    }

    /// Sends an initiation if we have a key and the peer an endpoint.
    pub(super) fn initiate(&mut self, peer: PeerId, now: Now) {
        let jitter_ns = self.jitter_ns();
        let ephemeral = self.new_secret();
        let local_index = self.new_index(peer);
        let timestamp = self.timestamps.next(now.unix_ns);
        let Some(remote) = self.peers.get_mut(&peer) else { return };
        let mut message = Message::new(Kind::Initiation, &[local_index]);
        let started = self.identity.as_ref().zip(remote.path).and_then(|(local, path)| {
            let noise = &mut message[INITIATION_NOISE];
            let (identity, secrets) = (&local.identity, &remote.secrets);
            Initiator::start(identity, secrets, &ephemeral, &timestamp, noise).map(|i| (i, path))
        });
        let Some((initiator, path)) = started else {
            remote.timers.unreachable();
            self.by_index.remove(&local_index);
            return;
        };
        remote.jar.sign(&mut message, now.boot_ns);
        let is_first = remote.timers.started_ns().is_none();
        remote.timers.initiated(now.boot_ns, jitter_ns);
        remote.activity.record_sent(now.boot_ns, message.len() as u64, false, NEVER);
        let attempt = remote.timers.attempts();
        let public_key = remote.secrets.public_key;
        let pending = PendingInitiation { initiator, local_index };
        if let Some(old) = remote.pending.replace(pending) {
            self.by_index.remove(&old.local_index);
        }
        self.tally.initiations += 1;
        self.out.transmits.push_back(Transmit::to_peer(path, peer, message));
        self.out.event(if is_first {
            Event::HandshakeStarted { peer, public_key }
        } else {
            Event::HandshakeRetried { peer, public_key, attempt }
        });
        self.log_keys(peer, &ephemeral);
    }

    /// Installs the session of a response: both ends have the keys, and we may send at once.
    pub(super) fn complete_as_initiator(
        &mut self,
        peer: PeerId,
        local_index: u32,
        remote_index: u32,
        keys: SessionKeys,
        now: Now,
    ) {
        let Some(remote) = self.peers.get_mut(&peer) else { return };
        let created_ns = now.boot_ns;
        remote.timers.derived(created_ns);
        let erased = remote.sessions.initiated(local_index, created_ns);
        let receive =
            ReceiveSession { key: keys.receive, peer, local_index, created_ns, initiator: true };
        let send =
            SendSession { key: keys.send, remote_index, local_index, created_ns, initiator: true };
        self.out.inbound(InboundCommand::Install { session: receive, next: None });
        self.out.outbound(OutboundCommand::Install { peer, session: send, confirm: true });
        self.erase_sessions(erased);
        let started_ns = self.peers.get(&peer).and_then(|remote| remote.timers.started_ns());
        self.complete(peer, Role::Initiator, started_ns, now);
    }

    /// The first message has arrived under a session. If we were the responder, the paths send with it from now on.
    pub(super) fn confirm(&mut self, peer: PeerId, local_index: u32, now: Now) {
        let Some(remote) = self.peers.get_mut(&peer) else { return };
        let Some(erased) = remote.sessions.confirmed(local_index) else { return };
        // Our own initiation crossed the peer's; one session is enough.
        if let Some(pending) = remote.pending.take() {
            self.by_index.remove(&pending.local_index);
        }
        let started_ns = remote.last_initiation_ns;
        self.erase_sessions(erased);
        self.complete(peer, Role::Responder, started_ns, now);
    }

    fn complete(&mut self, peer: PeerId, role: Role, started_ns: Option<u64>, now: Now) {
        let jitter_ns = self.jitter_ns();
        let Some(remote) = self.peers.get_mut(&peer) else { return };
        let public_key = remote.secrets.public_key;
        remote.timers.completed(jitter_ns);
        remote.last_handshake_unix_ns = now.unix_ns;
        self.tally.completed += 1;
        let took_ns = started_ns.map_or(0, |at| now.boot_ns.saturating_sub(at));
        self.out.event(Event::HandshakeCompleted { peer, public_key, role, took_ns });
    }

    /// Erases all keys, because no new ones were derived for long.
    pub(super) fn erase_keys(&mut self, peer: PeerId) {
        let Some(remote) = self.peers.get_mut(&peer) else { return };
        let public_key = remote.secrets.public_key;
        remote.timers.unreachable();
        let pending = remote.pending.take();
        let erased = remote.sessions.clear();
        if let Some(pending) = pending {
            self.by_index.remove(&pending.local_index);
        }
        self.erase_sessions(erased);
        self.out.outbound(OutboundCommand::Erase(peer));
        self.out.outbound(OutboundCommand::DropStaged(peer));
        self.out.event(Event::KeysErased { peer, public_key });
    }

    pub(super) fn log_keys(&mut self, peer: PeerId, ephemeral: &Secret) {
        if !self.is_key_logged {
            return;
        }
        let (Some(local), Some(remote)) = (&self.identity, self.peers.get(&peer)) else { return };
        self.out.events.push_back(Event::KeyLog(KeyLog {
            peer,
            public_key: remote.secrets.public_key,
            static_secret: local.identity.private_key(),
            ephemeral_secret: Zeroizing::new(**ephemeral),
            preshared_key: remote.secrets.preshared_key.clone(),
        }));
    }
}
