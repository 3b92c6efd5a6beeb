//! What control and the two paths tell each other. Plain data: the engine carries it between
//! threads, the replay runner hands it over in the same call.
//!
//! Order: commands run between batches, in the order in which they were posted. What inbound learns
//! outbound has to know before an answer to the same batch is sent, and control learns it too late:
//! so inbound gives it to outbound directly, as the command that control would give.

use std::{fmt, sync::Arc};

use crate::{
    aead::TransportKey,
    wireguard::{
        allowed_ips::AllowedIps,
        path::Path,
        peer::{Activity, PeerId},
    },
};

/// The half of a session that sends.
pub struct SendSession {
    /// Key of this direction.
    pub key: TransportKey,
    /// The receiver index that the peer chose, written into each data message.
    pub remote_index: u32,
    /// Our own index of the same session.
    pub local_index: u32,
    /// Boot time at which the keys were derived.
    pub created_ns: u64,
    /// Whether we initiated: only the initiator rekeys by time.
    pub initiator: bool,
}

/// The half of a session that receives.
pub struct ReceiveSession {
    /// Key of this direction.
    pub key: TransportKey,
    /// The peer the session belongs to.
    pub peer: PeerId,
    /// The receiver index that we chose.
    pub local_index: u32,
    /// Boot time at which the keys were derived.
    pub created_ns: u64,
    /// Whether we initiated.
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

/// From control to the outbound path.
#[derive(Debug)]
pub enum OutboundCommand {
    /// A peer exists from now on.
    AddPeer {
        /// Its name.
        peer: PeerId,
        /// What is shared about it.
        activity: Arc<Activity>,
    },
    /// A peer is gone: its staged frames are dropped and counted.
    RemovePeer(PeerId),
    /// The way to a peer changed; `None` where it is not known.
    SetPath(PeerId, Option<Path>),
    /// Send with these keys from now on, then flush what is staged. Where nothing is staged and
    /// `confirm` is set, send a keepalive, so that the responder may start to send.
    Install {
        /// Whose session.
        peer: PeerId,
        /// The keys.
        session: SendSession,
        /// Whether the responder still waits for a first message under these keys.
        confirm: bool,
    },
    /// Forget the sending keys.
    Erase(PeerId),
    /// Drop what is staged (the handshake was given up).
    DropStaged(PeerId),
    /// Send an empty message.
    Keepalive(PeerId),
    /// Route by these from now on.
    Routes(Arc<AllowedIps>),
}

/// From control to the inbound path.
#[derive(Debug)]
pub enum InboundCommand {
    /// A peer exists from now on.
    AddPeer {
        /// Its name.
        peer: PeerId,
        /// What is shared about it.
        activity: Arc<Activity>,
    },
    /// A peer is gone, with all its sessions.
    RemovePeer(PeerId),
    /// The way to a peer, as control knows it: a message from elsewhere is a move.
    SetPath(PeerId, Option<Path>),
    /// Accept messages with this receiver index.
    Install {
        /// The keys.
        session: ReceiveSession,
        /// A responder's half to send with: given to outbound, and reported, when the first
        /// authenticated message shows that the initiator has the keys. `None`: it was installed.
        next: Option<SendSession>,
    },
    /// Forget the session with this local index.
    Erase(u32),
    /// Judge inner sources by these from now on.
    Routes(Arc<AllowedIps>),
}

/// From the device to a path.
#[derive(Debug)]
pub enum Command {
    /// For the outbound path.
    Outbound(OutboundCommand),
    /// For the inbound path.
    Inbound(InboundCommand),
}

/// From a path to control. At most a few a batch, never one a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// Frames are staged and there is no session to send them with, or the session is due for
    /// renewal (age or count), in either direction.
    WantsHandshake(PeerId),
    /// The first authenticated message arrived under a responder's session; where no other has taken
    /// its place, it is sent with from now on.
    Confirmed(PeerId, u32),
    /// An authenticated message came from elsewhere.
    Moved(PeerId, Path),
    /// The local address that the peer's path names is gone: let the kernel choose.
    SourceLost(PeerId),
    /// A timer may have to be armed: look at the peer's activity.
    Active(PeerId),
}
