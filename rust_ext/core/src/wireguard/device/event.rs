//! Events for operators, never one per packet.

use std::{fmt, net::SocketAddr};

use crate::wireguard::{noise::handshake::Secret, peer::PeerId};

/// The severity of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Only of interest to diagnose a problem.
    Debug,
    /// A normal change of state.
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
    /// The name that operators see.
    pub fn name(self) -> &'static str {
        match self {
            Self::Initiator => "initiator",
            Self::Responder => "responder",
        }
    }
}

/// An event. `peer` and `public_key` identify the same peer.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "the common fields are documented on the enum")]
pub enum Event {
    /// The first initiation was sent.
    HandshakeStarted { peer: PeerId, public_key: [u8; 32] },
    /// An initiation was sent again; `attempt` counts from 2.
    HandshakeRetried { peer: PeerId, public_key: [u8; 32], attempt: u32 },
    /// Both ends have the keys, `took_ns` after the first initiation.
    HandshakeCompleted { peer: PeerId, public_key: [u8; 32], role: Role, took_ns: u64 },
    /// No response came; staged frames are dropped. New traffic starts another handshake.
    HandshakeGaveUp { peer: PeerId, public_key: [u8; 32], attempts: u32 },
    /// Data was not answered for 15 s.
    Unanswered { peer: PeerId, public_key: [u8; 32] },
    /// An authenticated message came from an endpoint other than it `was` before.
    EndpointMoved {
        peer: PeerId,
        public_key: [u8; 32],
        endpoint: SocketAddr,
        was: Option<SocketAddr>,
    },
    /// The peer is under load; the next attempt carries its cookie.
    CookieReceived { peer: PeerId, public_key: [u8; 32] },
    /// No new keys were derived for 540 s, so the old ones were erased.
    KeysErased { peer: PeerId, public_key: [u8; 32] },
    /// Too many handshake messages are queued: cookies are required now.
    UnderLoad { queued: usize },
    /// The secrets of a handshake, if the key log is on.
    KeyLog(KeyLog),
}

impl Event {
    /// The message of the log line.
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

    /// The severity.
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

/// The secrets of a handshake, which decrypt a capture of it (Wireshark's wg.keylog_file). Emitted only if the
/// operator has turned the key log on.
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
    /// PRESHARED_KEY; zeros if there is none.
    pub preshared_key: Secret,
}

impl fmt::Debug for KeyLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyLog").field("peer", &self.peer).finish_non_exhaustive()
    }
}
