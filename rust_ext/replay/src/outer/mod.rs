//! Decrypts captured WireGuard traffic with the keys of a key log.
//!
//! Handshake messages establish sessions; data messages of a session yield inner packets. A datagram that
//! cannot be decrypted is not an error: it is counted under a [`Reason`]. Memory is bounded by the number of
//! sessions kept.

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

/// Why a datagram was not decrypted, ordered by how far decryption got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// Not a WireGuard message.
    NotWireGuard,
    /// A handshake message to an unknown static key.
    UnknownReceiver,
    /// A handshake for which a static or ephemeral private key is missing.
    MissingKeys,
    /// A handshake that does not decrypt with the known keys; most often the pre-shared key is wrong.
    WrongKeys,
    /// A response whose initiation is not in the capture.
    NoInitiation,
    /// Data of a session whose handshake is not in the capture or was not decrypted.
    NoSession,
    /// Data with a wrong tag: forged or corrupted.
    Forged,
    /// Data with a counter that is already used or behind the replay window.
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

    /// Name in results.
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
