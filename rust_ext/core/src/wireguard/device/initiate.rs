//! The initiator's side, and what follows when a handshake is complete, given up or too old.
//!
//! In: wishes for a handshake, deadlines, confirmations. Out: initiations, at most one in 5 s a
//! peer; sessions for the paths; the erasure of keys.

use zeroize::Zeroizing;

use super::{
    Device, Transmit,
    event::{Event, KeyLog, Role},
    remote::Waiting,
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
    /// Somebody has a use for a new session: now, or as soon as the last handshake is 5 s ago.
    pub(super) fn want_handshake(&mut self, peer: PeerId, now: Now) {
        let Some(remote) = self.peers.get_mut(&peer) else { return };
        remote.timers.wanted();
        if now.boot_ns >= remote.timers.may_initiate_at_ns() {
            self.initiate(peer, now);
        } else if !remote.timers.is_initiating() && remote.sessions.are_due(now.boot_ns) {
            remote.timers.defer();
        }
    }

    pub(super) fn start_deferred(&mut self, peer: PeerId, now: Now) {
        if self.peers.get(&peer).is_some_and(|remote| remote.sessions.are_due(now.boot_ns)) {
            self.want_handshake(peer, now);
        }
    }

    pub(super) fn start_unanswered(&mut self, peer: PeerId, now: Now) {
        let Some(remote) = self.peers.get(&peer) else { return };
        let public_key = remote.secrets.public_key;
        self.out.event(Event::Unanswered { peer, public_key });
        self.forget_source(peer);
        self.want_handshake(peer, now);
    }

    pub(super) fn retry(&mut self, peer: PeerId, now: Now) {
        let jitter_ns = self.jitter_ns();
        let Some(remote) = self.peers.get_mut(&peer) else { return };
        if remote.timers.attempts() >= MAX_ATTEMPTS {
            return self.give_up(peer, now);
        }
        if now.boot_ns < remote.timers.may_initiate_at_ns() {
            return remote.timers.retry_later(jitter_ns);
        }
        self.forget_source(peer);
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

    /// Sends an initiation, unless we have no key or do not know where to.
    pub(super) fn initiate(&mut self, peer: PeerId, now: Now) {
        let jitter_ns = self.jitter_ns();
        let ephemeral = self.new_secret();
        let local_index = self.new_index(peer);
        let stamp = self.stamps.next(now.unix_ns);
        let Some(remote) = self.peers.get_mut(&peer) else { return };
        let mut message = Message::new(Kind::Initiation, &[local_index]);
        let started = self.identity.as_ref().zip(remote.path).and_then(|(own, path)| {
            let noise = &mut message[INITIATION_NOISE];
            let (identity, secrets) = (&own.identity, &remote.secrets);
            Initiator::start(identity, secrets, &ephemeral, &stamp, noise).map(|i| (i, path))
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
        if let Some(old) = remote.waiting.replace(Waiting { initiator, local_index }) {
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

    /// The response came: both ends can derive the keys, and we may send at once.
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
        self.forget(erased);
        let started_ns = self.peers.get(&peer).and_then(|remote| remote.timers.started_ns());
        self.complete(peer, Role::Initiator, started_ns, now);
    }

    /// The first message arrived under a session. Where we made it as responder, the paths send with
    /// it from now on.
    pub(super) fn confirm(&mut self, peer: PeerId, local_index: u32, now: Now) {
        let Some(remote) = self.peers.get_mut(&peer) else { return };
        let Some(erased) = remote.sessions.confirmed(local_index) else { return };
        // Ours crossed the peer's; one session is enough.
        if let Some(waiting) = remote.waiting.take() {
            self.by_index.remove(&waiting.local_index);
        }
        let started_ns = remote.last_initiation_ns;
        self.forget(erased);
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

    /// No new keys came for long: nothing that could open old messages is kept.
    pub(super) fn erase_keys(&mut self, peer: PeerId) {
        let Some(remote) = self.peers.get_mut(&peer) else { return };
        let public_key = remote.secrets.public_key;
        remote.timers.unreachable();
        let waiting = remote.waiting.take();
        let erased = remote.sessions.clear();
        if let Some(waiting) = waiting {
            self.by_index.remove(&waiting.local_index);
        }
        self.forget(erased);
        self.out.outbound(OutboundCommand::Erase(peer));
        self.out.outbound(OutboundCommand::DropStaged(peer));
        self.out.event(Event::KeysErased { peer, public_key });
    }

    pub(super) fn log_keys(&mut self, peer: PeerId, ephemeral: &Secret) {
        if !self.is_key_logged {
            return;
        }
        let (Some(own), Some(remote)) = (&self.identity, self.peers.get(&peer)) else { return };
        self.out.events.push_back(Event::KeyLog(KeyLog {
            peer,
            public_key: remote.secrets.public_key,
            static_secret: own.identity.private_key(),
            ephemeral_secret: Zeroizing::new(**ephemeral),
            preshared_key: remote.secrets.preshared_key.clone(),
        }));
    }
}
