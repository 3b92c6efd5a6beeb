//! What happened that an operator may want to know. Never once a packet.

use std::{fmt, net::SocketAddr};

use crate::wireguard::{noise::handshake::Secret, peer::PeerId};

/// How much an event matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// For those who look into a problem.
    Debug,
    /// A change of state.
    Info,
    /// Something does not work.
    Warning,
}

/// Our part in a handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// We sent the initiation.
    Initiator,
    /// We sent the response.
    Responder,
}

impl Role {
    /// The name operators see.
    pub fn name(self) -> &'static str {
        match self {
            Self::Initiator => "initiator",
            Self::Responder => "responder",
        }
    }
}

/// Something that happened. `peer` and `public_key` name the same peer.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "the fields that each variant shares are said above")]
pub enum Event {
    /// The first initiation was sent.
    HandshakeStarted { peer: PeerId, public_key: [u8; 32] },
    /// An initiation was sent again; `attempt` counts from 2.
    HandshakeRetried { peer: PeerId, public_key: [u8; 32], attempt: u32 },
    /// Both ends have the keys, `took_ns` after the first initiation.
    HandshakeCompleted { peer: PeerId, public_key: [u8; 32], role: Role, took_ns: u64 },
    /// Nothing came back; what was staged is dropped. Traffic starts it anew.
    HandshakeGaveUp { peer: PeerId, public_key: [u8; 32], attempts: u32 },
    /// Data got no answer for 15 s.
    Unanswered { peer: PeerId, public_key: [u8; 32] },
    /// The peer was heard from another endpoint than it `was` before.
    EndpointMoved {
        peer: PeerId,
        public_key: [u8; 32],
        endpoint: SocketAddr,
        was: Option<SocketAddr>,
    },
    /// The peer is under load; the next try shows its cookie.
    CookieReceived { peer: PeerId, public_key: [u8; 32] },
    /// No new keys came for 540 s, so the old ones were erased.
    KeysErased { peer: PeerId, public_key: [u8; 32] },
    /// So many handshake messages wait that cookies are asked for.
    UnderLoad { queued: usize },
    /// The secrets of a handshake, where the key log is on.
    KeyLog(KeyLog),
}

impl Event {
    /// The name that log lines carry as their message.
    pub fn name(&self) -> &'static str {
        match self {
            Self::HandshakeStarted { .. } => "peer.handshake_started",
            Self::HandshakeRetried { .. } => "peer.handshake_retried",
            Self::HandshakeCompleted { .. } => "peer.handshake",
            Self::HandshakeGaveUp { .. } => "peer.handshake_given_up",
            Self::Unanswered { .. } => "peer.unanswered",
            Self::EndpointMoved { .. } => "peer.moved",
            Self::CookieReceived { .. } => "peer.cookie_received",
            Self::KeysErased { .. } => "peer.keys_erased",
            Self::UnderLoad { .. } => "handshake.under_load",
            Self::KeyLog(_) => "handshake.key_log",
        }
    }

    /// How much it matters.
    pub fn severity(&self) -> Severity {
        match self {
            Self::HandshakeStarted { .. }
            | Self::HandshakeRetried { .. }
            | Self::CookieReceived { .. }
            | Self::KeyLog(_) => Severity::Debug,
            Self::HandshakeCompleted { .. }
            | Self::EndpointMoved { .. }
            | Self::KeysErased { .. } => Severity::Info,
            Self::HandshakeGaveUp { .. } | Self::Unanswered { .. } | Self::UnderLoad { .. } => {
                Severity::Warning
            }
        }
    }
}

/// The secrets of one handshake, with which a capture of it can be opened (Wireshark's
/// wg.keylog_file). Given out only where the operator has asked for it.
#[derive(Clone)]
pub struct KeyLog {
    /// The peer.
    pub peer: PeerId,
    /// Its static public key: REMOTE_STATIC_PUBLIC_KEY.
    pub public_key: [u8; 32],
    /// LOCAL_STATIC_PRIVATE_KEY.
    pub static_secret: Secret,
    /// LOCAL_EPHEMERAL_PRIVATE_KEY.
    pub ephemeral_secret: Secret,
    /// PRESHARED_KEY; zeros where there is none.
    pub preshared_key: Secret,
}

impl fmt::Debug for KeyLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyLog").field("peer", &self.peer).finish_non_exhaustive()
    }
}
