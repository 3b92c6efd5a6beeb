//! Noise_IKpsk2: who sends what, and what each end learns (whitepaper §5.4.2 and §5.4.3).
//!
//! In: keys, the other end's message, randomness as an ephemeral key. Out: our message, and the
//! session's keys. Drops: a message that does not open, and a key agreement that gives zero (RFC
//! 7748 §6.1). Nothing is kept before a message has proved right, so a forged one changes nothing.
//!
//! ```text
//! ← s
//!   …
//! → e, es, s, ss      initiation
//! ← e, ee, se, psk    response
//! ```

use x25519_dalek::{PublicKey, SharedSecret, StaticSecret};
use zeroize::Zeroizing;

use super::symmetric::{IDENTIFIER, Symmetric};
use crate::aead::{TAG_LENGTH, TransportKey};

/// Bytes of a key.
pub const KEY_LENGTH: usize = 32;
const SEALED_KEY_LENGTH: usize = KEY_LENGTH + TAG_LENGTH;

/// A secret of 32 bytes, wiped when dropped.
pub type Secret = Zeroizing<[u8; KEY_LENGTH]>;

/// Our static key pair.
pub struct Identity {
    secret: StaticSecret,
    public: [u8; KEY_LENGTH],
}

impl Identity {
    /// The pair of a private key, whose bits are clamped (RFC 7748 §5).
    pub fn new(private_key: &[u8; KEY_LENGTH]) -> Self {
        let mut clamped = Zeroizing::new(*private_key);
        clamped[0] &= 248;
        clamped[31] = clamped[31] & 127 | 64;
        let secret = StaticSecret::from(*clamped);
        let public = PublicKey::from(&secret).to_bytes();
        Self { secret, public }
    }

    /// The public key.
    pub fn public_key(&self) -> &[u8; KEY_LENGTH] {
        &self.public
    }

    /// The private key, clamped.
    pub fn private_key(&self) -> Secret {
        Zeroizing::new(self.secret.to_bytes())
    }

    /// The secret shared with a peer's static key, which each handshake needs; `None` where the
    /// peer's key is one of the few that give zero with any other.
    pub fn agree(&self, public_key: &[u8; KEY_LENGTH]) -> Option<Secret> {
        agree(&self.secret, public_key).map(|shared| Zeroizing::new(shared.to_bytes()))
    }
}

/// The public key of a private key.
pub fn public_key(private_key: &[u8; KEY_LENGTH]) -> [u8; KEY_LENGTH] {
    Identity::new(private_key).public
}

/// What a handshake with one peer needs beside our identity.
pub struct PeerSecrets {
    /// The peer's static public key.
    pub public_key: [u8; KEY_LENGTH],
    /// [`Identity::agree`] with it; without it, no handshake succeeds.
    pub static_static: Option<Secret>,
    /// The pre-shared key; zeros where there is none.
    pub preshared_key: Secret,
}

/// The keys of a session, for one of its ends.
pub struct SessionKeys {
    /// For what we send.
    pub send: TransportKey,
    /// For what we receive.
    pub receive: TransportKey,
}

/// An initiation on its way: what its response is opened with.
pub struct Initiator {
    symmetric: Symmetric,
    ephemeral: StaticSecret,
}

impl Initiator {
    /// Writes an initiation with this payload (WireGuard: the stamp) into `message`, whose length
    /// is that of two keys, the payload and two tags.
    ///
    /// `None` where the peer's key is no good.
    pub fn start(
        identity: &Identity,
        peer: &PeerSecrets,
        ephemeral: &Secret,
        payload: &[u8],
        message: &mut [u8],
    ) -> Option<Self> {
        let symmetric = Symmetric::new(IDENTIFIER);
        Self::start_from(symmetric, identity, peer, ephemeral, payload, message)
    }

    fn start_from(
        mut symmetric: Symmetric,
        identity: &Identity,
        peer: &PeerSecrets,
        ephemeral: &Secret,
        payload: &[u8],
        message: &mut [u8],
    ) -> Option<Self> {
        let ephemeral = StaticSecret::from(**ephemeral);
        let public = PublicKey::from(&ephemeral).to_bytes();
        let (head, sealed_payload) = message.split_at_mut(KEY_LENGTH + SEALED_KEY_LENGTH);
        let (e, sealed_static) = head.split_at_mut(KEY_LENGTH);

        symmetric.mix_hash(&peer.public_key);
        symmetric.mix_hash(&public);
        // In a PSK handshake an ephemeral is key material as well (Noise §9.2).
        symmetric.mix_key(&public);
        e.copy_from_slice(&public);

        let es = symmetric.mix_field_key(agree(&ephemeral, &peer.public_key)?.as_bytes());
        sealed_static[..KEY_LENGTH].copy_from_slice(&identity.public);
        symmetric.seal(es, sealed_static);

        let ss = symmetric.mix_field_key(&**peer.static_static.as_ref()?);
        sealed_payload[..payload.len()].copy_from_slice(payload);
        symmetric.seal(ss, sealed_payload);
        Some(Self { symmetric, ephemeral })
    }

    /// Opens a response and its payload (WireGuard: none). `None` where it is not the response to
    /// this initiation; another may still be.
    pub fn finish(
        &self,
        identity: &Identity,
        peer: &PeerSecrets,
        message: &[u8],
        payload: &mut [u8],
    ) -> Option<SessionKeys> {
        self.read_response(identity, peer, message, payload).map(|symmetric| {
            let split = symmetric.split();
            SessionKeys { send: split.from_initiator, receive: split.from_responder }
        })
    }

    fn read_response(
        &self,
        identity: &Identity,
        peer: &PeerSecrets,
        message: &[u8],
        payload: &mut [u8],
    ) -> Option<Symmetric> {
        let mut symmetric = self.symmetric.clone();
        let (e, sealed_payload) = message.split_first_chunk::<KEY_LENGTH>()?;
        symmetric.mix_hash(e);
        symmetric.mix_key(e);
        symmetric.mix_key(agree(&self.ephemeral, e)?.as_bytes());
        symmetric.mix_key(agree(&identity.secret, e)?.as_bytes());
        let key = symmetric.mix_preshared_key(&peer.preshared_key);
        symmetric.open(key, sealed_payload, payload).then_some(symmetric)
    }
}

/// An initiation of which only the sender's name was opened: enough to look the peer up.
pub struct Greeting<'m> {
    symmetric: Symmetric,
    ephemeral: [u8; KEY_LENGTH],
    public_key: [u8; KEY_LENGTH],
    sealed_payload: &'m [u8],
}

impl<'m> Greeting<'m> {
    /// Opens the sender's public key. `None` where that fails.
    pub fn read(identity: &Identity, message: &'m [u8]) -> Option<Self> {
        Self::read_from(Symmetric::new(IDENTIFIER), identity, message)
    }

    fn read_from(mut symmetric: Symmetric, identity: &Identity, message: &'m [u8]) -> Option<Self> {
        let (e, rest) = message.split_first_chunk::<KEY_LENGTH>()?;
        let (sealed_static, sealed_payload) = rest.split_at_checked(SEALED_KEY_LENGTH)?;
        symmetric.mix_hash(&identity.public);
        symmetric.mix_hash(e);
        symmetric.mix_key(e);
        let es = symmetric.mix_field_key(agree(&identity.secret, e)?.as_bytes());
        let mut public_key = [0; KEY_LENGTH];
        symmetric.open(es, sealed_static, &mut public_key).then_some(Self {
            symmetric,
            ephemeral: *e,
            public_key,
            sealed_payload,
        })
    }

    /// Who claims to have sent it; proved by [`Greeting::accept`].
    pub fn public_key(&self) -> &[u8; KEY_LENGTH] {
        &self.public_key
    }

    /// Opens the payload, which proves the sender.
    pub fn accept(mut self, peer: &PeerSecrets, payload: &mut [u8]) -> Option<Responder> {
        let ss = self.symmetric.mix_field_key(&**peer.static_static.as_ref()?);
        self.symmetric
            .open(ss, self.sealed_payload, payload)
            .then_some(Responder { symmetric: self.symmetric, ephemeral: self.ephemeral })
    }
}

/// An initiation that proved right: what its response is made from.
pub struct Responder {
    symmetric: Symmetric,
    /// The initiator's.
    ephemeral: [u8; KEY_LENGTH],
}

impl Responder {
    /// Writes the response with this payload (WireGuard: none) into `message`.
    pub fn finish(
        self,
        peer: &PeerSecrets,
        ephemeral: &Secret,
        payload: &[u8],
        message: &mut [u8],
    ) -> Option<SessionKeys> {
        self.write_response(peer, ephemeral, payload, message).map(|symmetric| {
            let split = symmetric.split();
            SessionKeys { send: split.from_responder, receive: split.from_initiator }
        })
    }

    fn write_response(
        self,
        peer: &PeerSecrets,
        ephemeral: &Secret,
        payload: &[u8],
        message: &mut [u8],
    ) -> Option<Symmetric> {
        let mut symmetric = self.symmetric;
        let ephemeral = StaticSecret::from(**ephemeral);
        let public = PublicKey::from(&ephemeral).to_bytes();
        let (e, sealed_payload) = message.split_at_mut(KEY_LENGTH);
        e.copy_from_slice(&public);
        symmetric.mix_hash(&public);
        symmetric.mix_key(&public);
        symmetric.mix_key(agree(&ephemeral, &self.ephemeral)?.as_bytes());
        symmetric.mix_key(agree(&ephemeral, &peer.public_key)?.as_bytes());
        let key = symmetric.mix_preshared_key(&peer.preshared_key);
        sealed_payload[..payload.len()].copy_from_slice(payload);
        symmetric.seal(key, sealed_payload);
        Some(symmetric)
    }
}

fn agree(secret: &StaticSecret, public_key: &[u8; KEY_LENGTH]) -> Option<SharedSecret> {
    Some(secret.diffie_hellman(&PublicKey::from(*public_key))).filter(|s| s.was_contributory())
}

#[cfg(test)]
mod tests;
