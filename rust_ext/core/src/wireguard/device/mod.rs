//! Control of a tunnel: handshakes, timers, endpoints and allowed IPs, without input or output.
//!
//! Inputs are configuration, handshake messages, reports of the two paths, and the time. Outputs, drained until
//! there are none: commands to the paths, messages to send, events, and the time of the next timeout. Data
//! messages do not pass here.
//!
//! Commands add a peer before they refer to it, and install a session's receiving half before its sending half.
//! The caller must run the commands before it sends the messages, so that an answer finds its keys.

mod configure;
mod event;
mod initiate;
mod receive;
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
            tai64n::TimestampClock,
            timers::{Due, jitter_ns},
        },
        path::Path,
        peer::{NEVER, PeerId},
    },
};

/// The DS byte of handshake messages: AF41, because they are few and all traffic waits for them (kernel messages.h,
/// HANDSHAKE_DSCP).
pub const HANDSHAKE_DS: u8 = 0x88;

/// The source of randomness: the system, or a seed in tests and replays.
pub trait Entropy: Send {
    /// Fills `bytes` with random bytes.
    fn fill(&mut self, bytes: &mut [u8]);
}

/// A handshake message to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// Destination and source.
    pub path: Path,
    /// The peer that it is for; `None` for a cookie reply, whose receiver is not authenticated.
    pub peer: Option<PeerId>,
    /// The DS byte of the IP header.
    pub ds: u8,
    message: Message,
}

impl Transmit {
    fn to_peer(path: Path, peer: PeerId, message: Message) -> Self {
        Self { path, peer: Some(peer), ds: HANDSHAKE_DS, message }
    }

    fn to_unauthenticated(path: Path, message: Message) -> Self {
        Self { path, peer: None, ds: HANDSHAKE_DS, message }
    }

    /// The UDP payload.
    pub fn bytes(&self) -> &[u8] {
        &self.message
    }
}

/// The control state of one tunnel.
pub struct Device {
    entropy: Box<dyn Entropy>,
    identity: Option<LocalIdentity>,
    peers: BTreeMap<PeerId, Remote>,
    by_key: BTreeMap<[u8; 32], PeerId>,
    /// Our indices in use, of pending initiations and of sessions.
    by_index: BTreeMap<u32, PeerId>,
    next_peer: u32,
    allowed_ips: AllowedIps,
    are_routes_changed: bool,
    timestamps: TimestampClock,
    rate_limit: RateLimit,
    under_load_until_ns: u64,
    /// When to check the timers of which peer, earliest first.
    wakes: BTreeSet<(u64, PeerId)>,
    is_key_logged: bool,
    tally: HandshakeTally,
    out: Outbox,
}

/// Our key pair, and the checker of messages to it.
struct LocalIdentity {
    identity: Identity,
    checker: CookieChecker,
}

/// Outputs that are not drained yet.
#[derive(Default)]
struct Outbox {
    commands: VecDeque<Command>,
    transmits: VecDeque<Transmit>,
    events: VecDeque<Event>,
}

impl Device {
    /// Creates a device without a key and without peers.
    pub fn new(entropy: Box<dyn Entropy>) -> Self {
        Self {
            entropy,
            identity: None,
            peers: BTreeMap::new(),
            by_key: BTreeMap::new(),
            by_index: BTreeMap::new(),
            next_peer: 0,
            allowed_ips: AllowedIps::default(),
            are_routes_changed: false,
            timestamps: TimestampClock::default(),
            rate_limit: RateLimit::default(),
            under_load_until_ns: 0,
            wakes: BTreeSet::new(),
            is_key_logged: false,
            tally: HandshakeTally::default(),
            out: Outbox::default(),
        }
    }

    /// Handles a report of a path.
    pub fn handle_report(&mut self, report: Report, now: Now) {
        let peer = match report {
            Report::WantsHandshake(peer) => {
                self.request_handshake(peer, now);
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
                self.clear_source(peer);
                peer
            }
            Report::Active(peer) => peer,
        };
        self.reschedule(peer);
    }

    /// Handles the timers that are due; to be called at the time of [`Device::poll_timeout`].
    pub fn handle_timeout(&mut self, now: Now) {
        while let Some(&(at_ns, peer)) = self.wakes.first() {
            if at_ns > now.boot_ns {
                break;
            }
            while let Some(due) = self.take_due(peer, now.boot_ns) {
                self.handle_due(peer, due, now);
            }
            self.reschedule(peer);
        }
    }

    /// Clears the source of every path: the sockets were replaced, and a source may not exist any more.
    pub fn handle_bind_changed(&mut self, _now: Now) {
        let peers: Vec<PeerId> = self.peers.keys().copied().collect();
        for peer in peers {
            self.clear_source(peer);
        }
    }

    /// Returns the next command for a path.
    pub fn poll_command(&mut self) -> Option<Command> {
        if self.out.commands.is_empty() && self.are_routes_changed {
            self.are_routes_changed = false;
            let snapshot = Arc::new(self.allowed_ips.clone());
            self.out.outbound(OutboundCommand::Routes(Arc::clone(&snapshot)));
            self.out.inbound(InboundCommand::Routes(snapshot));
        }
        self.out.commands.pop_front()
    }

    /// Returns the next message to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.out.transmits.pop_front()
    }

    /// Returns the next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.out.events.pop_front()
    }

    /// Returns when [`Device::handle_timeout`] must be called, in boot nanoseconds.
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

    fn handle_due(&mut self, peer: PeerId, due: Due, now: Now) {
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

    /// Works out when to check the timers of a peer next, and sets that time for the paths to see.
    fn reschedule(&mut self, peer: PeerId) {
        let Some(remote) = self.peers.get_mut(&peer) else { return };
        let next_ns = |remote: &Remote| {
            remote.timers.next(&remote.activity).map_or(NEVER, |(at_ns, _)| at_ns)
        };
        let mut at_ns = next_ns(remote);
        loop {
            remote.activity.schedule_check(at_ns);
            // A path that did not see that time yet has not reported what it wrote: read once more.
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

    /// Moves a peer to the path that an authenticated message came from.
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

    /// Lets the kernel choose the source address again: the old one may not work any more.
    fn clear_source(&mut self, peer: PeerId) {
        let Some(remote) = self.peers.get_mut(&peer) else { return };
        if remote.path.as_mut().and_then(|path| path.source.take()).is_some() {
            self.out.set_path(peer, remote.path);
        }
    }

    /// Erases sessions from the inbound path.
    fn erase_sessions(&mut self, erased: Erased) {
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

    /// Draws a random index that is not in use and assigns it to `peer`.
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
