//! Opening captured WireGuard: the datagrams of both ends, and keys, give the inner packets.
//!
//! In: key logs, and datagrams in the order of the capture. Out: for each datagram what it was; for
//! data, the inner packet, from which end it came and whether it was late. Nothing that a capture
//! holds is an error: what cannot be opened has a reason, and each reason is counted. Order: one
//! datagram in, one answer out. Memory is bounded by the number of sessions that are kept.
//!
//! ```text
//! packet → datagram → handshake → session
//!                   → session → inner packet
//! ```

mod datagram;
mod decryptor;
mod handshake;
mod keys;
mod sessions;

pub use self::{
    datagram::{Datagram, NotUdp, datagram},
    decryptor::{Decryptor, OpenCounts, Opened},
    keys::{KeyLogError, OuterKeys, key_log_text},
};

/// Why a datagram was not opened: the later in this list, the farther it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// Not a WireGuard message.
    NotWireGuard,
    /// A handshake message to a static key that is not among the keys.
    UnknownReceiver,
    /// A handshake of which a key is missing: either static key's private half, an ephemeral key.
    MissingKeys,
    /// A handshake that does not open with the keys there are: the pre-shared key, most often.
    WrongKeys,
    /// A response whose initiation is not in the capture.
    NoInitiation,
    /// Data of a session whose handshake is not in the capture, or was not opened.
    NoSession,
    /// Data whose tag is wrong: forged, or damaged on its way.
    Forged,
    /// Data that was there before, or is too old to tell.
    Replayed,
}

impl Reason {
    /// All of them, in the order of [`OpenCounts::failed`].
    pub const ALL: [Self; 8] = [
        Self::NotWireGuard,
        Self::UnknownReceiver,
        Self::MissingKeys,
        Self::WrongKeys,
        Self::NoInitiation,
        Self::NoSession,
        Self::Forged,
        Self::Replayed,
    ];

    /// The name that people and reports see.
    pub fn name(self) -> &'static str {
        match self {
            Self::NotWireGuard => "not_wireguard",
            Self::UnknownReceiver => "unknown_receiver",
            Self::MissingKeys => "missing_keys",
            Self::WrongKeys => "wrong_keys",
            Self::NoInitiation => "no_initiation",
            Self::NoSession => "no_session",
            Self::Forged => "forged",
            Self::Replayed => "replayed",
        }
    }
}

#[cfg(test)]
mod tests;
