//! Handshake messages from the network: what they must show, and what follows from them.
//!
//! In: a datagram of type 1, 2 or 3 and its source. Out: a response, a session, a cookie. Drops: all
//! that is not right, by reason. What costs least is looked at first; nothing changes before a
//! message has proved itself, and only such a message moves an endpoint.

use super::{Device, Event, Own, Transmit};
use crate::{
    drop_reason::HandshakeDrop,
    time::{Now, SECOND_NS},
    wireguard::{
        commands::{InboundCommand, ReceiveSession, SendSession},
        noise::{
            handshake::Greeting,
            message::{INITIATION_NOISE, Kind, Message, RESPONSE_NOISE, first_index, second_index},
            tai64n::STAMP_LENGTH,
            timers::INITIATION_INTERVAL_NS,
        },
        path::Path,
        peer::NEVER,
    },
};

/// With so many messages waiting we are under load: an eighth of the queue of 1024 (wireguard-go
/// device.go, IsUnderLoad and queueconstants_default.go).
pub(super) const LOADED_AT: usize = 1024 / 8;
/// And for so long afterwards (wireguard-go constants.go, UnderLoadAfterTime).
const LOADED_FOR_NS: u64 = SECOND_NS;

impl Device {
    /// Takes a handshake message that came from `from` (its destination is the sender), while
    /// `queued` others wait behind it. What was wrong with it is counted, too.
    pub fn handle_datagram(
        &mut self,
        datagram: &[u8],
        from: Path,
        queued: usize,
        now: Now,
    ) -> Result<(), HandshakeDrop> {
        self.tally.received += 1;
        let result = self.answer(datagram, from, queued, now);
        match result {
            Ok(()) => self.tally.taken += 1,
            Err(reason) => self.tally.drop(reason, 1),
        }
        result
    }

    fn answer(
        &mut self,
        datagram: &[u8],
        from: Path,
        queued: usize,
        now: Now,
    ) -> Result<(), HandshakeDrop> {
        let kind = Kind::of(datagram).ok_or(HandshakeDrop::Malformed)?;
        match kind {
            Kind::Initiation => {
                self.admit(datagram, from, queued, now)?;
                self.answer_initiation(datagram, from, now)
            }
            Kind::Response => {
                self.admit(datagram, from, queued, now)?;
                self.answer_response(datagram, from, now)
            }
            Kind::CookieReply => self.keep_cookie(datagram, now),
        }
    }

    /// What a message must show before a key agreement is paid for (whitepaper §5.3).
    fn admit(
        &mut self,
        datagram: &[u8],
        from: Path,
        queued: usize,
        now: Now,
    ) -> Result<(), HandshakeDrop> {
        let is_loaded = self.is_under_load(queued, now.boot_ns);
        let Own { checker, .. } = self.identity.as_mut().ok_or(HandshakeDrop::NoKey)?;
        if !checker.is_mac1_right(datagram) {
            return Err(HandshakeDrop::InvalidMac1);
        }
        if !is_loaded {
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
            self.out.transmits.push_back(Transmit::to_stranger(from, reply));
            return Err(HandshakeDrop::CookieRequired);
        }
        match self.rate_limit.allow(from.destination.ip(), now.boot_ns) {
            true => Ok(()),
            false => Err(HandshakeDrop::RateLimited),
        }
    }

    fn is_under_load(&mut self, queued: usize, now_ns: u64) -> bool {
        let was_loaded = self.loaded_until_ns > now_ns;
        if queued < LOADED_AT {
            return was_loaded;
        }
        self.loaded_until_ns = now_ns + LOADED_FOR_NS;
        if !was_loaded {
            self.out.event(Event::UnderLoad { queued });
        }
        true
    }

    fn answer_initiation(
        &mut self,
        datagram: &[u8],
        from: Path,
        now: Now,
    ) -> Result<(), HandshakeDrop> {
        let own = self.identity.as_ref().ok_or(HandshakeDrop::NoKey)?;
        let greeting = Greeting::read(&own.identity, &datagram[INITIATION_NOISE])
            .ok_or(HandshakeDrop::BadHandshake)?;
        let peer = *self.by_key.get(greeting.public_key()).ok_or(HandshakeDrop::UnknownPeer)?;
        let remote = self.peers.get_mut(&peer).ok_or(HandshakeDrop::UnknownPeer)?;
        let mut stamp = [0; STAMP_LENGTH];
        let responder =
            greeting.accept(&remote.secrets, &mut stamp).ok_or(HandshakeDrop::BadHandshake)?;
        if remote.last_stamp.is_some_and(|last| stamp <= last) {
            return Err(HandshakeDrop::ReplayedTimestamp);
        }
        let last_ns = remote.last_initiation_ns;
        if last_ns.is_some_and(|at| now.boot_ns.saturating_sub(at) <= INITIATION_INTERVAL_NS) {
            return Err(HandshakeDrop::Flood);
        }
        remote.last_stamp = Some(stamp);
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
        self.forget(erased);
        self.log_keys(peer, &ephemeral);
        self.reschedule(peer);
        Ok(())
    }

    fn answer_response(
        &mut self,
        datagram: &[u8],
        from: Path,
        now: Now,
    ) -> Result<(), HandshakeDrop> {
        let own = self.identity.as_ref().ok_or(HandshakeDrop::NoKey)?;
        let local_index = second_index(datagram);
        let peer = *self.by_index.get(&local_index).ok_or(HandshakeDrop::StaleResponse)?;
        let remote = self.peers.get_mut(&peer).ok_or(HandshakeDrop::StaleResponse)?;
        let waiting = remote
            .waiting
            .as_ref()
            .filter(|waiting| waiting.local_index == local_index)
            .ok_or(HandshakeDrop::StaleResponse)?;
        let keys = waiting
            .initiator
            .finish(&own.identity, &remote.secrets, &datagram[RESPONSE_NOISE], &mut [])
            .ok_or(HandshakeDrop::BadHandshake)?;
        // The index goes on as the session's.
        remote.waiting = None;
        remote.activity.record_received(now.boot_ns, datagram.len() as u64, false, NEVER);
        self.move_to(peer, from);
        self.complete_as_initiator(peer, local_index, first_index(datagram), keys, now);
        self.reschedule(peer);
        Ok(())
    }

    fn keep_cookie(&mut self, datagram: &[u8], now: Now) -> Result<(), HandshakeDrop> {
        let peer = self.by_index.get(&first_index(datagram)).copied();
        let (peer, remote) = peer
            .and_then(|peer| self.peers.get_mut(&peer).map(|remote| (peer, remote)))
            .ok_or(HandshakeDrop::InvalidCookie)?;
        if !remote.jar.accept(datagram, now.boot_ns) {
            return Err(HandshakeDrop::InvalidCookie);
        }
        // The next try shows it; answering at once would let a stranger make us send.
        let public_key = remote.secrets.public_key;
        self.out.event(Event::CookieReceived { peer, public_key });
        Ok(())
    }
}
