//! Messages between control and the two paths: commands to a path, reports from it.
//!
//! Commands run between batches, in the order in which they were posted. A change that the inbound path learns
//! (a new endpoint, confirmed keys) must reach the outbound path before an answer to the same batch is sent.
//! Control would be too late, so the inbound path issues that command itself.

use std::{fmt, sync::Arc};

use crate::{
    aead::TransportKey,
    wireguard::{
        allowed_ips::AllowedIps,
        path::Path,
        peer::{Activity, PeerId},
    },
};

/// The sending half of a session.
pub struct SendSession {
    /// Key of this direction.
    pub key: TransportKey,
    /// The receiver index that the peer chose, written into each data message.
    pub remote_index: u32,
    /// Our own index of the same session.
    pub local_index: u32,
    /// Boot time at which the keys were derived.
    pub created_ns: u64,
    /// Whether we were the initiator: only the initiator rekeys by time.
    pub initiator: bool,
}

/// The receiving half of a session.
pub struct ReceiveSession {
    /// Key of this direction.
    pub key: TransportKey,
    /// The peer the session belongs to.
    pub peer: PeerId,
    /// The receiver index that we chose.
    pub local_index: u32,
    /// Boot time at which the keys were derived.
    pub created_ns: u64,
    /// Whether we were the initiator.
    pub initiator: bool,
}

/// Keys are never printed.
impl fmt::Debug for SendSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("SendSession");
        shown.field("local_index", &self.local_index).field("remote_index", &self.remote_index);
        shown.finish_non_exhaustive()
    }
}

/// Keys are never printed.
impl fmt::Debug for ReceiveSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("ReceiveSession");
        shown.field("peer", &self.peer).field("local_index", &self.local_index);
        shown.finish_non_exhaustive()
    }
}

/// A command to the outbound path.
#[derive(Debug)]
pub enum OutboundCommand {
    /// Adds a peer.
    AddPeer {
        /// Its id.
        peer: PeerId,
        /// Where its counts and times are published.
        activity: Arc<Activity>,
    },
    /// Removes a peer; its staged frames are dropped and counted.
    RemovePeer(PeerId),
    /// Sets the path to a peer; `None` if it has no endpoint.
    SetPath(PeerId, Option<Path>),
    /// Sends with these keys from now on, and flushes what is staged. If nothing is staged and `confirm` is set,
    /// sends a keepalive, so that the responder may start to send.
    Install {
        /// The session's peer.
        peer: PeerId,
        /// The keys.
        session: SendSession,
        /// Whether the responder still waits for the first message under these keys.
        confirm: bool,
    },
    /// Erases the sending keys.
    Erase(PeerId),
    /// Drops what is staged: the handshake was given up.
    DropStaged(PeerId),
    /// Sends an empty message.
    Keepalive(PeerId),
    /// Replaces the allowed IPs that frames are routed by.
    Routes(Arc<AllowedIps>),
}

/// A command to the inbound path.
#[derive(Debug)]
pub enum InboundCommand {
    /// Adds a peer.
    AddPeer {
        /// Its id.
        peer: PeerId,
        /// Where its counts and times are published.
        activity: Arc<Activity>,
    },
    /// Removes a peer with all its sessions.
    RemovePeer(PeerId),
    /// Sets the path to a peer as control has it: a message from elsewhere is reported as a move.
    SetPath(PeerId, Option<Path>),
    /// Accepts messages with this session's receiver index.
    Install {
        /// The keys.
        session: ReceiveSession,
        /// The sending half, if we were the responder: installed on the outbound path, and reported, when the
        /// first authenticated message proves that the initiator has the keys.
        next: Option<SendSession>,
    },
    /// Erases the session with this local index.
    Erase(u32),
    /// Replaces the allowed IPs that inner sources are checked against.
    Routes(Arc<AllowedIps>),
}

/// A command to one of the paths.
#[derive(Debug)]
pub enum Command {
    /// For the outbound path.
    Outbound(OutboundCommand),
    /// For the inbound path.
    Inbound(InboundCommand),
}

/// A report from a path to control: at most a few a batch, never one a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// The peer needs a new session: frames are staged without one, or the current one is due for renewal by its
    /// age or its count.
    WantsHandshake(PeerId),
    /// The first authenticated message arrived under a session that we responded to; unless a newer one has
    /// replaced it, the path sends with it from now on.
    Confirmed(PeerId, u32),
    /// An authenticated message came from another address.
    Moved(PeerId, Path),
    /// The local address of the peer's path does not exist any more: the kernel must choose another.
    SourceLost(PeerId),
    /// A timer may have to be armed: check the peer's activity.
    Active(PeerId),
}
