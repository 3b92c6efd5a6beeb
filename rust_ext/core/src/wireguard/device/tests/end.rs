//! One end of the wire: a device, and a model of its two paths.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::SocketAddr,
    sync::Arc,
};

use super::{
    super::*,
    wire::{S, Seed, now_at},
};
use crate::{
    drop_reason::HandshakeDrop,
    wireguard::{
        commands::{OutboundCommand, ReceiveSession, SendSession},
        noise::timers::{
            KEEPALIVE_TIMEOUT_NS, REJECT_AFTER_TIME_NS, REKEY_ON_RECEIVE_AFTER_TIME_NS,
            REKEY_TIMEOUT_NS,
        },
        peer::Activity,
    },
};

/// A device and its two paths, with the other end as its only peer.
pub(super) struct End {
    pub(super) device: Device,
    pub(super) address: SocketAddr,
    pub(super) public_key: [u8; 32],
    pub(super) peer: PeerId,
    pub(super) activity: Option<Arc<Activity>>,
    pub(super) path: Option<Path>,
    pub(super) sending: Option<SendSession>,
    pub(super) receiving: BTreeMap<u32, (ReceiveSession, bool)>,
    pub(super) next: Option<SendSession>,
    /// Commands of the inbound path to the outbound path.
    pub(super) outbound_commands: VecDeque<OutboundCommand>,
    pub(super) requested_ns: Option<u64>,
    pub(super) requested_on_receive: BTreeSet<u32>,
    pub(super) staged: u32,
    /// Packets that arrived.
    pub(super) delivered: u32,
    pub(super) routes: Vec<Arc<AllowedIps>>,
    pub(super) log: Vec<String>,
    pub(super) events: Vec<Event>,
}

impl End {
    pub(super) fn new(seed: &mut Seed, i: usize) -> Self {
        let mut device = Device::new(Box::new(Seed(seed.next())));
        let mut private_key = [0; 32];
        seed.fill(&mut private_key);
        device.set_private_key(Some(private_key), now_at(S));
        Self {
            public_key: device.public_key().unwrap(),
            device,
            address: SocketAddr::from(([192, 0, 2, i as u8 + 1], 51820)),
            peer: PeerId(u32::MAX),
            activity: None,
            path: None,
            sending: None,
            receiving: BTreeMap::new(),
            next: None,
            outbound_commands: VecDeque::new(),
            requested_ns: None,
            requested_on_receive: BTreeSet::new(),
            staged: 0,
            delivered: 0,
            routes: Vec::new(),
            log: Vec::new(),
            events: Vec::new(),
        }
    }

    pub(super) fn request_handshake(&mut self, now: Now) {
        if self.requested_ns.is_none_or(|at| now.boot_ns - at >= REKEY_TIMEOUT_NS) {
            self.requested_ns = Some(now.boot_ns);
            self.device.handle_report(Report::WantsHandshake(self.peer), now);
        }
    }

    pub(super) fn receive(
        &mut self,
        index: u32,
        key: [u8; 32],
        is_empty: bool,
        from: Path,
        now: Now,
    ) {
        let Some((session, confirmed)) = self.receiving.get_mut(&index) else { return };
        let age_ns = now.boot_ns - session.created_ns;
        if age_ns >= REJECT_AFTER_TIME_NS || *session.key != key {
            return;
        }
        self.delivered += u32::from(!is_empty);
        let was_confirmed = std::mem::replace(confirmed, true);
        let is_due = session.initiator && age_ns > REKEY_ON_RECEIVE_AFTER_TIME_NS;
        let is_active = self
            .activity
            .as_ref()
            .is_some_and(|a| a.record_received(now.boot_ns, 32, !is_empty, KEEPALIVE_TIMEOUT_NS));
        if !was_confirmed {
            if let Some(session) = self.next.take_if(|next| next.local_index == index) {
                let peer = self.peer;
                self.outbound_commands.push_back(OutboundCommand::Install {
                    peer,
                    session,
                    confirm: false,
                });
            }
            self.device.handle_report(Report::Confirmed(self.peer, index), now);
        }
        if is_due && self.requested_on_receive.insert(index) {
            self.device.handle_report(Report::WantsHandshake(self.peer), now);
        }
        if self.path != Some(from) {
            self.device.handle_report(Report::Moved(self.peer, from), now);
        }
        if is_active {
            self.device.handle_report(Report::Active(self.peer), now);
        }
    }

    pub(super) fn log_command(&mut self, command: &Command) {
        let name = format!("{command:?}");
        let name = name.replace(['(', ')', '{', '}'], " ");
        let words: Vec<&str> = name.split_whitespace().take(2).collect();
        self.log.push(words.join(" "));
    }

    pub(super) fn count_events(&self, name: &str) -> usize {
        self.events.iter().filter(|event| event.name() == name).count()
    }

    pub(super) fn drops(&self, reason: HandshakeDrop) -> u64 {
        self.device.counts().drops[reason as usize]
    }

    /// The device's status of the other end.
    pub(super) fn peer_status(&self) -> PeerStatus {
        self.device.peers().next().unwrap()
    }

    pub(super) fn last_handshake_unix_ns(&self) -> u64 {
        self.peer_status().last_handshake_unix_ns
    }
}
