//! Control: handshakes, timers, endpoints and allowed IPs of a tunnel, without any input or output.
//!
//! In: configuration, handshake messages, reports of the two paths, the time. Out, drained until
//! there is none: commands to the paths, messages to send, events, and when to be woken next. Data
//! messages never come here. Drops: handshake messages, each with a reason and a count.
//! Order: a session's receiving half is commanded before its sending half, a peer before anything
//! about it. Carry out the commands before the messages are sent, so that an answer finds its keys.
//! Time: nothing ticks; a wake-up that finds its timer stopped only works out the next one.

mod answer;
mod configure;
mod event;
mod initiate;
mod remote;
mod sessions;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use zeroize::Zeroizing;

pub use self::{
    configure::{PeerChange, PeerStatus},
    event::{Event, KeyLog, Role, Severity},
};
use self::{remote::Remote, sessions::Erased};
use crate::{
    counters::HandshakeTally,
    rate_limit::RateLimit,
    time::Now,
    wireguard::{
        allowed_ips::AllowedIps,
        commands::{Command, InboundCommand, OutboundCommand, Report},
        noise::{
            cookie::CookieChecker,
            handshake::{Identity, Secret},
            message::Message,
            tai64n::Stamps,
            timers::{Due, jitter_ns},
        },
        path::Path,
        peer::{NEVER, PeerId},
    },
};

/// The DS byte of handshake messages: AF41, as they are few and all else waits for them (kernel
/// messages.h, HANDSHAKE_DSCP).
pub const HANDSHAKE_DS: u8 = 0x88;

/// Where randomness comes from: the system, or a seed in tests and replays.
pub trait Entropy: Send {
    /// Fills `bytes` with random ones.
    fn fill(&mut self, bytes: &mut [u8]);
}

/// A handshake message to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// Where to, and where from.
    pub path: Path,
    /// The peer it is for; none for a cookie reply, whose receiver has proved nothing.
    pub peer: Option<PeerId>,
    /// The DS byte of the IP header.
    pub ds: u8,
    message: Message,
}

impl Transmit {
    fn to_peer(path: Path, peer: PeerId, message: Message) -> Self {
        Self { path, peer: Some(peer), ds: HANDSHAKE_DS, message }
    }

    fn to_stranger(path: Path, message: Message) -> Self {
        Self { path, peer: None, ds: HANDSHAKE_DS, message }
    }

    /// The UDP payload.
    pub fn bytes(&self) -> &[u8] {
        &self.message
    }
}

/// The protocol's brain, one a tunnel.
pub struct Device {
    entropy: Box<dyn Entropy>,
    identity: Option<Own>,
    peers: BTreeMap<PeerId, Remote>,
    by_key: BTreeMap<[u8; 32], PeerId>,
    /// Our indices in use: of an initiation that waits, and of sessions.
    by_index: BTreeMap<u32, PeerId>,
    next_peer: u32,
    allowed_ips: AllowedIps,
    are_routes_stale: bool,
    stamps: Stamps,
    rate_limit: RateLimit,
    loaded_until_ns: u64,
    /// When to look at which peer, earliest first.
    wakes: BTreeSet<(u64, PeerId)>,
    is_key_logged: bool,
    tally: HandshakeTally,
    out: Outbox,
}

/// What comes with our private key.
struct Own {
    identity: Identity,
    checker: CookieChecker,
}

/// Outputs that wait to be drained.
#[derive(Default)]
struct Outbox {
    commands: VecDeque<Command>,
    transmits: VecDeque<Transmit>,
    events: VecDeque<Event>,
}

impl Device {
    /// A device without a key and without peers.
    pub fn new(entropy: Box<dyn Entropy>) -> Self {
        Self {
            entropy,
            identity: None,
            peers: BTreeMap::new(),
            by_key: BTreeMap::new(),
            by_index: BTreeMap::new(),
            next_peer: 0,
            allowed_ips: AllowedIps::default(),
            are_routes_stale: false,
            stamps: Stamps::default(),
            rate_limit: RateLimit::default(),
            loaded_until_ns: 0,
            wakes: BTreeSet::new(),
            is_key_logged: false,
            tally: HandshakeTally::default(),
            out: Outbox::default(),
        }
    }

    /// Takes what a path noticed.
    pub fn handle_report(&mut self, report: Report, now: Now) {
        let peer = match report {
            Report::WantsHandshake(peer) => {
                self.want_handshake(peer, now);
                peer
            }
            Report::Confirmed(peer, local_index) => {
                self.confirm(peer, local_index, now);
                peer
            }
            Report::Moved(peer, path) => {
                self.move_to(peer, path);
                peer
            }
            Report::SourceLost(peer) => {
                self.forget_source(peer);
                peer
            }
            Report::Active(peer) => peer,
        };
        self.reschedule(peer);
    }

    /// Does what is due. Call it once [`Device::poll_timeout`] has come; earlier, it does nothing.
    pub fn handle_timeout(&mut self, now: Now) {
        while let Some(&(at_ns, peer)) = self.wakes.first() {
            if at_ns > now.boot_ns {
                break;
            }
            while let Some(due) = self.take_due(peer, now.boot_ns) {
                self.act(peer, due, now);
            }
            self.reschedule(peer);
        }
    }

    /// The sockets were replaced: addresses that were sent from may not exist any more.
    pub fn handle_bind_changed(&mut self, _now: Now) {
        let peers: Vec<PeerId> = self.peers.keys().copied().collect();
        for peer in peers {
            self.forget_source(peer);
        }
    }

    /// The next command for a path.
    pub fn poll_command(&mut self) -> Option<Command> {
        if self.out.commands.is_empty() && self.are_routes_stale {
            self.are_routes_stale = false;
            let snapshot = Arc::new(self.allowed_ips.clone());
            self.out.outbound(OutboundCommand::Routes(Arc::clone(&snapshot)));
            self.out.inbound(InboundCommand::Routes(snapshot));
        }
        self.out.commands.pop_front()
    }

    /// The next message to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.out.transmits.pop_front()
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.out.events.pop_front()
    }

    /// When [`Device::handle_timeout`] has something to do, in boot nanoseconds.
    pub fn poll_timeout(&self) -> Option<u64> {
        self.wakes.first().map(|(at_ns, _)| *at_ns)
    }

    fn take_due(&mut self, peer: PeerId, now_ns: u64) -> Option<Due> {
        let remote = self.peers.get_mut(&peer)?;
        let (at_ns, due) = remote.timers.next(&remote.activity)?;
        if at_ns > now_ns {
            return None;
        }
        remote.timers.fired(due, now_ns, &remote.activity);
        Some(due)
    }

    fn act(&mut self, peer: PeerId, due: Due, now: Now) {
        match due {
            Due::Retry => self.retry(peer, now),
            Due::Deferred => self.start_deferred(peer, now),
            Due::NewHandshake => self.start_unanswered(peer, now),
            Due::Keepalive | Due::PersistentKeepalive => {
                self.out.outbound(OutboundCommand::Keepalive(peer));
            }
            Due::Erase => self.erase_keys(peer),
        }
    }

    /// Works out when to look at a peer next, and promises it to the paths.
    fn reschedule(&mut self, peer: PeerId) {
        let Some(remote) = self.peers.get_mut(&peer) else { return };
        let next_ns = |remote: &Remote| {
            remote.timers.next(&remote.activity).map_or(NEVER, |(at_ns, _)| at_ns)
        };
        let mut at_ns = next_ns(remote);
        loop {
            remote.activity.schedule_check(at_ns);
            // What was written before that promise was seen is not reported: look again.
            let earlier_ns = next_ns(remote);
            if earlier_ns >= at_ns {
                break;
            }
            at_ns = earlier_ns;
        }
        if remote.wake_ns != at_ns {
            self.wakes.remove(&(remote.wake_ns, peer));
            remote.wake_ns = at_ns;
            if at_ns != NEVER {
                self.wakes.insert((at_ns, peer));
            }
        }
    }

    /// A peer was heard from there, and proved itself.
    fn move_to(&mut self, peer: PeerId, path: Path) {
        let Some(remote) = self.peers.get_mut(&peer) else { return };
        if remote.path == Some(path) {
            return;
        }
        let was = remote.path.replace(path).map(|path| path.destination);
        self.out.set_path(peer, Some(path));
        if was != Some(path.destination) {
            let public_key = remote.secrets.public_key;
            let endpoint = path.destination;
            self.out.event(Event::EndpointMoved { peer, public_key, endpoint, was });
        }
    }

    /// Lets the kernel choose the source address again: the old one may be the cause of trouble.
    fn forget_source(&mut self, peer: PeerId) {
        let Some(remote) = self.peers.get_mut(&peer) else { return };
        if remote.path.as_mut().and_then(|path| path.source.take()).is_some() {
            self.out.set_path(peer, remote.path);
        }
    }

    fn forget(&mut self, erased: Erased) {
        for local_index in erased {
            self.by_index.remove(&local_index);
            self.out.inbound(InboundCommand::Erase(local_index));
        }
    }

    fn jitter_ns(&mut self) -> u64 {
        let mut random = [0; 4];
        self.entropy.fill(&mut random);
        jitter_ns(u32::from_le_bytes(random))
    }

    fn new_secret(&mut self) -> Secret {
        let mut secret = Zeroizing::new([0; 32]);
        self.entropy.fill(&mut *secret);
        secret
    }

    /// A random index that none of our sessions has, taken for `peer`.
    fn new_index(&mut self, peer: PeerId) -> u32 {
        loop {
            let mut random = [0; 4];
            self.entropy.fill(&mut random);
            let index = u32::from_le_bytes(random);
            if let std::collections::btree_map::Entry::Vacant(entry) = self.by_index.entry(index) {
                entry.insert(peer);
                return index;
            }
        }
    }
}

impl Outbox {
    fn outbound(&mut self, command: OutboundCommand) {
        self.commands.push_back(Command::Outbound(command));
    }

    fn inbound(&mut self, command: InboundCommand) {
        self.commands.push_back(Command::Inbound(command));
    }

    fn set_path(&mut self, peer: PeerId, path: Option<Path>) {
        self.inbound(InboundCommand::SetPath(peer, path));
        self.outbound(OutboundCommand::SetPath(peer, path));
    }

    fn event(&mut self, event: Event) {
        self.events.push_back(event);
    }
}

#[cfg(test)]
mod tests;
