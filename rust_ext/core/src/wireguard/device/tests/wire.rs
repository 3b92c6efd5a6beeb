//! The wire: two ends, a clock that jumps from deadline to deadline, latency and loss.
//!
//! Data messages are not sealed: each carries its key, and is authentic if the receiver has the same.

use std::{collections::VecDeque, net::SocketAddr};

use super::{super::*, end::End};
use crate::{
    drop_reason::HandshakeDrop,
    time::{MILLISECOND_NS, SECOND_NS},
    wireguard::{
        commands::SendSession,
        noise::timers::{KEEPALIVE_TIMEOUT_NS, REJECT_AFTER_TIME_NS, REKEY_AFTER_TIME_NS},
        path::Source,
    },
};

pub(super) const S: u64 = SECOND_NS;
pub(super) const MS: u64 = MILLISECOND_NS;
/// The wall clock at boot.
const UNIX_NS: u64 = 1_700_000_000 * S;

/// A seeded source of randomness (splitmix64).
pub(super) struct Seed(pub(super) u64);

impl Seed {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

impl Entropy for Seed {
    fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_le_bytes()[..chunk.len()]);
        }
    }
}

#[derive(Clone, Debug)]
pub(super) enum Datagram {
    Handshake(Vec<u8>),
    Data { index: u32, key: [u8; 32], is_empty: bool },
}

impl Datagram {
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Handshake(bytes) => bytes,
            Self::Data { .. } => panic!("a data message"),
        }
    }

    pub(super) fn is(&self, kind: u8) -> bool {
        matches!(self, Self::Handshake(bytes) if bytes[0] == kind)
    }

    pub(super) fn is_keepalive(&self) -> bool {
        matches!(self, Self::Data { is_empty: true, .. })
    }
}

type Loses = dyn FnMut(usize, &Datagram) -> bool;

pub(super) struct Wire {
    pub(super) ends: [End; 2],
    pub(super) now_ns: u64,
    pub(super) latency_ns: u64,
    /// Datagrams under way: arrival, receiver, source.
    in_flight: VecDeque<(u64, usize, SocketAddr, Datagram)>,
    /// Which datagrams are lost, by sender.
    pub(super) loses: Box<Loses>,
    /// All datagrams sent: time, sender, content.
    pub(super) sent: Vec<(u64, usize, Datagram)>,
}

impl Wire {
    /// Two ends with each other's key and endpoint, and nothing on the wire.
    pub(super) fn new(seed: u64) -> Self {
        let mut seed = Seed(seed);
        let mut ends = [0, 1].map(|i| End::new(&mut seed, i));
        let keys = [ends[0].public_key, ends[1].public_key];
        let addresses = [ends[0].address, ends[1].address];
        for i in 0..2 {
            let change = PeerChange {
                public_key: keys[1 - i],
                endpoint: Some(addresses[1 - i]),
                ..PeerChange::default()
            };
            assert!(ends[i].device.set_peer(change, now_at(S)));
        }
        let mut wire = Self {
            ends,
            now_ns: S,
            latency_ns: 10 * MS,
            in_flight: VecDeque::new(),
            loses: Box::new(|_, _| false),
            sent: Vec::new(),
        };
        wire.settle();
        wire
    }

    /// The same after a handshake that end 0 initiated.
    pub(super) fn connected(seed: u64) -> Self {
        let mut wire = Self::new(seed);
        wire.ends[0].device.handle_report(Report::WantsHandshake(wire.ends[0].peer), wire.now());
        wire.run_for(S);
        assert!(wire.ends.iter().all(|end| end.sending.is_some()));
        wire
    }

    pub(super) fn now(&self) -> Now {
        now_at(self.now_ns)
    }

    /// Configures end `i`.
    pub(super) fn configure<T>(&mut self, i: usize, body: impl FnOnce(&mut Device, Now) -> T) -> T {
        let now = self.now();
        let result = body(&mut self.ends[i].device, now);
        self.settle();
        result
    }

    /// Changes the peer of end `i`.
    pub(super) fn change_peer(&mut self, i: usize, body: impl FnOnce(&mut PeerChange)) {
        let public_key = self.ends[1 - i].public_key;
        let mut change = PeerChange::new(public_key);
        body(&mut change);
        assert!(self.configure(i, |device, now| device.set_peer(change, now)));
    }

    /// Sends one packet from end `i`.
    pub(super) fn send(&mut self, i: usize) {
        self.transport(i, false);
        self.settle();
    }

    pub(super) fn run_for(&mut self, duration_ns: u64) {
        self.run_until(self.now_ns + duration_ns);
    }

    /// Lets time pass, from one arrival or timeout to the next.
    pub(super) fn run_until(&mut self, until_ns: u64) {
        loop {
            self.settle();
            let arrival_ns = self.in_flight.iter().map(|(at_ns, ..)| *at_ns).min();
            let wakes = self.ends.iter().filter_map(|end| end.device.poll_timeout());
            let Some(next_ns) = wakes.chain(arrival_ns).min().filter(|at_ns| *at_ns <= until_ns)
            else {
                self.now_ns = until_ns;
                return;
            };
            self.now_ns = self.now_ns.max(next_ns);
            if let Some(first) = self.in_flight.iter().position(|(at_ns, ..)| *at_ns <= self.now_ns)
            {
                if let Some((_, to, from, datagram)) = self.in_flight.remove(first) {
                    // Drops are counted by the device.
                    let _ = self.arrive(to, from, datagram, 0);
                }
            } else {
                let now = self.now();
                for end in &mut self.ends {
                    end.device.handle_timeout(now);
                }
            }
        }
    }

    /// Delivers a datagram to end `to`, with `queued` others waiting.
    pub(super) fn arrive(
        &mut self,
        to: usize,
        from: SocketAddr,
        datagram: Datagram,
        queued: usize,
    ) -> Result<(), HandshakeDrop> {
        let now = self.now();
        let end = &mut self.ends[to];
        let source = Source { address: end.address.ip(), interface: 0 };
        let path = Path { destination: from, source: Some(source) };
        let result = match datagram {
            Datagram::Handshake(bytes) => end.device.handle_datagram(&bytes, path, queued, now),
            Datagram::Data { index, key, is_empty } => {
                end.receive(index, key, is_empty, path, now);
                Ok(())
            }
        };
        self.settle();
        result
    }

    fn transport(&mut self, i: usize, is_empty: bool) {
        let now = self.now();
        let end = &mut self.ends[i];
        let Some(path) = end.path else { return };
        let usable = |s: &&SendSession| now.boot_ns - s.created_ns < REJECT_AFTER_TIME_NS;
        let Some(session) = end.sending.as_ref().filter(usable) else {
            end.staged += u32::from(!is_empty);
            return end.request_handshake(now);
        };
        let datagram = Datagram::Data { index: session.remote_index, key: *session.key, is_empty };
        let is_due = session.initiator && now.boot_ns - session.created_ns > REKEY_AFTER_TIME_NS;
        let is_active = end.activity.as_ref().is_some_and(|activity| {
            activity.record_sent(now.boot_ns, 32, !is_empty, KEEPALIVE_TIMEOUT_NS)
        });
        if is_active {
            end.device.handle_report(Report::Active(end.peer), now);
        }
        if is_due {
            end.request_handshake(now);
        }
        self.fly(i, path, datagram);
    }

    fn fly(&mut self, from: usize, path: Path, datagram: Datagram) {
        self.sent.push((self.now_ns, from, datagram.clone()));
        let to = 1 - from;
        if path.destination == self.ends[to].address && !(self.loses)(from, &datagram) {
            let at_ns = self.now_ns + self.latency_ns;
            self.in_flight.push_back((at_ns, to, self.ends[from].address, datagram));
        }
    }

    /// Runs the commands of the devices and sends their messages until there are none.
    fn settle(&mut self) {
        loop {
            let mut idle = true;
            for i in 0..2 {
                while let Some(command) = self.ends[i].outbound_commands.pop_front() {
                    idle = false;
                    self.run_command(i, Command::Outbound(command));
                }
                while let Some(command) = self.ends[i].device.poll_command() {
                    idle = false;
                    self.run_command(i, command);
                }
                while let Some(transmit) = self.ends[i].device.poll_transmit() {
                    idle = false;
                    assert_eq!(transmit.ds, HANDSHAKE_DS);
                    let datagram = Datagram::Handshake(transmit.bytes().to_vec());
                    self.fly(i, transmit.path, datagram);
                }
                while let Some(event) = self.ends[i].device.poll_event() {
                    self.ends[i].events.push(event);
                }
            }
            if idle {
                return;
            }
        }
    }

    fn run_command(&mut self, i: usize, command: Command) {
        let end = &mut self.ends[i];
        end.log_command(&command);
        match command {
            Command::Outbound(OutboundCommand::AddPeer { peer, activity }) => {
                end.peer = peer;
                end.activity = Some(activity);
            }
            Command::Outbound(OutboundCommand::RemovePeer(_)) => {
                (end.sending, end.path, end.staged, end.requested_ns) = (None, None, 0, None);
            }
            Command::Outbound(OutboundCommand::SetPath(_, path)) => end.path = path,
            Command::Outbound(OutboundCommand::Install { session, confirm, .. }) => {
                assert!(end.receiving.contains_key(&session.local_index), "no receiving half");
                (end.sending, end.requested_ns) = (Some(session), None);
                let staged = std::mem::take(&mut end.staged);
                for _ in 0..staged {
                    self.transport(i, false);
                }
                if staged == 0 && confirm {
                    self.transport(i, true);
                }
            }
            Command::Outbound(OutboundCommand::Erase(_)) => end.sending = None,
            Command::Outbound(OutboundCommand::DropStaged(_)) => {
                (end.staged, end.requested_ns) = (0, None);
            }
            Command::Outbound(OutboundCommand::Keepalive(_)) => self.transport(i, true),
            Command::Inbound(InboundCommand::Install { session, next }) => {
                end.receiving.insert(session.local_index, (session, next.is_none()));
                end.next = next;
            }
            Command::Inbound(InboundCommand::Erase(index)) => {
                assert!(end.receiving.remove(&index).is_some(), "no such session");
                end.next.take_if(|next| next.local_index == index);
            }
            Command::Inbound(InboundCommand::RemovePeer(_)) => end.receiving.clear(),
            Command::Inbound(InboundCommand::AddPeer { .. } | InboundCommand::SetPath(..)) => {}
            Command::Inbound(InboundCommand::Routes(routes))
            | Command::Outbound(OutboundCommand::Routes(routes)) => end.routes.push(routes),
        }
    }
}

/// Times at which end `from` sent the datagrams that `is` selects.
pub(super) fn times(wire: &Wire, from: usize, is: impl Fn(&Datagram) -> bool) -> Vec<u64> {
    let sent = wire.sent.iter().filter(|(_, by, datagram)| *by == from && is(datagram));
    sent.map(|(at_ns, ..)| *at_ns).collect()
}

pub(super) fn now_at(boot_ns: u64) -> Now {
    Now { boot_ns, unix_ns: UNIX_NS + boot_ns }
}
