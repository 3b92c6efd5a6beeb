//! Received handshake messages.
//!
//! The cheapest checks come first. No state changes before a message is authenticated, and only an authenticated
//! message moves an endpoint.

use super::{Device, Event, LocalIdentity, Transmit};
use crate::{
    drop_reason::HandshakeDrop,
    time::{Now, SECOND_NS},
    wireguard::{
        commands::{InboundCommand, ReceiveSession, SendSession},
        noise::{
            handshake::UnverifiedInitiation,
            message::{INITIATION_NOISE, Kind, Message, RESPONSE_NOISE, first_index, second_index},
            tai64n::TIMESTAMP_LENGTH,
            timers::INITIATION_INTERVAL_NS,
        },
        path::Path,
        peer::NEVER,
    },
};

/// Queued messages from which on the device is under load: an eighth of the queue of 1024 (wireguard-go device.go,
/// IsUnderLoad and queueconstants_default.go).
pub(super) const UNDER_LOAD_AT: usize = 1024 / 8;
/// How long it stays under load (wireguard-go constants.go, UnderLoadAfterTime).
const UNDER_LOAD_FOR_NS: u64 = SECOND_NS;

impl Device {
    /// Handles a handshake message while `queued` others wait; `from` is the path of an answer. A drop is counted and
    /// returned.
    pub fn handle_datagram(
        &mut self,
        datagram: &[u8],
        from: Path,
        queued: usize,
        now: Now,
    ) -> Result<(), HandshakeDrop> {
        self.tally.received += 1;
        let result = self.handle_message(datagram, from, queued, now);
        match result {
            Ok(()) => self.tally.taken += 1,
            Err(reason) => self.tally.drop(reason, 1),
        }
        result
    }

    fn handle_message(
        &mut self,
        datagram: &[u8],
        from: Path,
        queued: usize,
        now: Now,
    ) -> Result<(), HandshakeDrop> {
        let kind = Kind::of(datagram).ok_or(HandshakeDrop::Malformed)?;
        match kind {
            Kind::Initiation => {
                self.check_macs(datagram, from, queued, now)?;
                self.handle_initiation(datagram, from, now)
            }
            Kind::Response => {
                self.check_macs(datagram, from, queued, now)?;
                self.handle_response(datagram, from, now)
            }
            Kind::CookieReply => self.handle_cookie_reply(datagram, now),
        }
    }

    /// Checks mac1 and, under load, mac2 and the rate of the source, before any key agreement (whitepaper §5.3).
    fn check_macs(
        &mut self,
        datagram: &[u8],
        from: Path,
        queued: usize,
        now: Now,
    ) -> Result<(), HandshakeDrop> {
        let is_under_load = self.is_under_load(queued, now.boot_ns);
        let LocalIdentity { checker, .. } = self.identity.as_mut().ok_or(HandshakeDrop::NoKey)?;
        if !checker.is_mac1_right(datagram) {
            return Err(HandshakeDrop::InvalidMac1);
        }
        if !is_under_load {
            return Ok(());
        }
        if !checker.is_mac2_right(datagram, from.destination, now.boot_ns) {
            let entropy = &mut self.entropy;
            let reply = checker.reply(
                datagram,
                first_index(datagram),
                from.destination,
                now.boot_ns,
                &mut |bytes| entropy.fill(bytes),
            );
            self.tally.cookie_replies += 1;
            self.out.transmits.push_back(Transmit::to_unauthenticated(from, reply));
            return Err(HandshakeDrop::CookieRequired);
        }
        match self.rate_limit.allow(from.destination.ip(), now.boot_ns) {
            true => Ok(()),
            false => Err(HandshakeDrop::RateLimited),
        }
    }

    fn is_under_load(&mut self, queued: usize, now_ns: u64) -> bool {
        let was_under_load = self.under_load_until_ns > now_ns;
        if queued < UNDER_LOAD_AT {
            return was_under_load;
        }
        self.under_load_until_ns = now_ns + UNDER_LOAD_FOR_NS;
        if !was_under_load {
            self.out.event(Event::UnderLoad { queued });
        }
        true
    }

    fn handle_initiation(
        &mut self,
        datagram: &[u8],
        from: Path,
        now: Now,
    ) -> Result<(), HandshakeDrop> {
        let LocalIdentity { identity, .. } = self.identity.as_ref().ok_or(HandshakeDrop::NoKey)?;
        let initiation = UnverifiedInitiation::open(identity, &datagram[INITIATION_NOISE])
            .ok_or(HandshakeDrop::BadHandshake)?;
        let peer = *self.by_key.get(initiation.public_key()).ok_or(HandshakeDrop::UnknownPeer)?;
        let remote = self.peers.get_mut(&peer).ok_or(HandshakeDrop::UnknownPeer)?;
        let mut timestamp = [0; TIMESTAMP_LENGTH];
        let responder = initiation
            .verify(&remote.secrets, &mut timestamp)
            .ok_or(HandshakeDrop::BadHandshake)?;
        if remote.last_timestamp.is_some_and(|last| timestamp <= last) {
            return Err(HandshakeDrop::ReplayedTimestamp);
        }
        let last_ns = remote.last_initiation_ns;
        if last_ns.is_some_and(|at| now.boot_ns.saturating_sub(at) <= INITIATION_INTERVAL_NS) {
            return Err(HandshakeDrop::Flood);
        }
        remote.last_timestamp = Some(timestamp);
        remote.last_initiation_ns = Some(now.boot_ns);
        remote.activity.record_received(now.boot_ns, datagram.len() as u64, false, NEVER);
        self.move_to(peer, from);

        let ephemeral = self.new_secret();
        let local_index = self.new_index(peer);
        let remote_index = first_index(datagram);
        let mut message = Message::new(Kind::Response, &[local_index, remote_index]);
        let remote = self.peers.get_mut(&peer).ok_or(HandshakeDrop::UnknownPeer)?;
        let noise = &mut message[RESPONSE_NOISE];
        let Some(keys) = responder.finish(&remote.secrets, &ephemeral, &[], noise) else {
            self.by_index.remove(&local_index);
            return Err(HandshakeDrop::BadHandshake);
        };
        remote.jar.sign(&mut message, now.boot_ns);
        remote.timers.responded(now.boot_ns);
        remote.timers.derived(now.boot_ns);
        remote.activity.record_sent(now.boot_ns, message.len() as u64, false, NEVER);
        let created_ns = now.boot_ns;
        let erased = remote.sessions.responded(local_index, created_ns);
        let session =
            ReceiveSession { key: keys.receive, peer, local_index, created_ns, initiator: false };
        let next = Some(SendSession {
            key: keys.send,
            remote_index,
            local_index,
            created_ns,
            initiator: false,
        });
        self.tally.responses += 1;
        self.out.inbound(InboundCommand::Install { session, next });
        self.out.transmits.push_back(Transmit::to_peer(from, peer, message));
        self.erase_sessions(erased);
        self.log_keys(peer, &ephemeral);
        self.reschedule(peer);
        Ok(())
    }

    fn handle_response(
        &mut self,
        datagram: &[u8],
        from: Path,
        now: Now,
    ) -> Result<(), HandshakeDrop> {
        let LocalIdentity { identity, .. } = self.identity.as_ref().ok_or(HandshakeDrop::NoKey)?;
        let local_index = second_index(datagram);
        let peer = *self.by_index.get(&local_index).ok_or(HandshakeDrop::StaleResponse)?;
        let remote = self.peers.get_mut(&peer).ok_or(HandshakeDrop::StaleResponse)?;
        let pending = remote
            .pending
            .as_ref()
            .filter(|pending| pending.local_index == local_index)
            .ok_or(HandshakeDrop::StaleResponse)?;
        let keys = pending
            .initiator
            .finish(identity, &remote.secrets, &datagram[RESPONSE_NOISE], &mut [])
            .ok_or(HandshakeDrop::BadHandshake)?;
        // The session takes over the index.
        remote.pending = None;
        remote.activity.record_received(now.boot_ns, datagram.len() as u64, false, NEVER);
        self.move_to(peer, from);
        self.complete_as_initiator(peer, local_index, first_index(datagram), keys, now);
        self.reschedule(peer);
        Ok(())
    }

    fn handle_cookie_reply(&mut self, datagram: &[u8], now: Now) -> Result<(), HandshakeDrop> {
        let peer = self.by_index.get(&first_index(datagram)).copied();
        let (peer, remote) = peer
            .and_then(|peer| self.peers.get_mut(&peer).map(|remote| (peer, remote)))
            .ok_or(HandshakeDrop::InvalidCookie)?;
        if !remote.jar.accept(datagram, now.boot_ns) {
            return Err(HandshakeDrop::InvalidCookie);
        }
        // The next attempt carries the cookie. A retry at once would let unauthenticated messages make us send.
        let public_key = remote.secrets.public_key;
        self.out.event(Event::CookieReceived { peer, public_key });
        Ok(())
    }
}
