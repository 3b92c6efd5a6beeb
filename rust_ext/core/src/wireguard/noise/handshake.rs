//! The Noise_IKpsk2 handshake (whitepaper §5.4.2 and §5.4.3).
//!
//! A message that does not authenticate is refused, as is a key agreement that gives zero (RFC 7748 §6.1). No state
//! changes before a message is authenticated, so a forged one has no effect. Randomness is passed in, as the
//! ephemeral key.
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

/// A secret of 32 bytes, zeroed when dropped.
pub type Secret = Zeroizing<[u8; KEY_LENGTH]>;

/// Our static key pair.
pub struct Identity {
    secret: StaticSecret,
    public: [u8; KEY_LENGTH],
}

impl Identity {
    /// Creates the pair of a private key, whose bits are clamped (RFC 7748 §5).
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

    /// Returns the secret shared with a peer's static key, which each handshake needs; `None` if the peer's key is
    /// one of the few that give zero with any other.
    pub fn agree(&self, public_key: &[u8; KEY_LENGTH]) -> Option<Secret> {
        agree(&self.secret, public_key).map(|shared| Zeroizing::new(shared.to_bytes()))
    }
}

/// Returns the public key of a private key.
pub fn public_key(private_key: &[u8; KEY_LENGTH]) -> [u8; KEY_LENGTH] {
    Identity::new(private_key).public
}

/// The keys of a handshake with one peer, beside our identity.
pub struct PeerSecrets {
    /// The peer's static public key.
    pub public_key: [u8; KEY_LENGTH],
    /// The result of [`Identity::agree`]; if `None`, no handshake succeeds.
    pub static_static: Option<Secret>,
    /// The pre-shared key; zeros if there is none.
    pub preshared_key: Secret,
}

/// The keys of a session for one of its ends.
pub struct SessionKeys {
    /// For messages that we send.
    pub send: TransportKey,
    /// For messages that we receive.
    pub receive: TransportKey,
}

/// The initiator's state between initiation and response.
pub struct Initiator {
    symmetric: Symmetric,
    ephemeral: StaticSecret,
}

impl Initiator {
    /// Writes an initiation with this payload (WireGuard: the timestamp) into `message`, which has the length of
    /// two keys, the payload and two tags. Returns `None` if a key agreement gives zero.
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
        // In a PSK handshake an ephemeral key is mixed into the key as well (Noise §9.2).
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

    /// Opens a response and its payload (WireGuard: none). Returns `None` if it does not answer this initiation;
    /// another message still may.
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

/// An initiation of which only the sender's public key was opened, to look the peer up. It is not verified yet.
pub struct UnverifiedInitiation<'m> {
    symmetric: Symmetric,
    ephemeral: [u8; KEY_LENGTH],
    public_key: [u8; KEY_LENGTH],
    sealed_payload: &'m [u8],
}

impl<'m> UnverifiedInitiation<'m> {
    /// Opens the sender's public key. Returns `None` if that fails.
    pub fn open(identity: &Identity, message: &'m [u8]) -> Option<Self> {
        Self::open_from(Symmetric::new(IDENTIFIER), identity, message)
    }

    fn open_from(mut symmetric: Symmetric, identity: &Identity, message: &'m [u8]) -> Option<Self> {
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

    /// The claimed public key of the sender.
    pub fn public_key(&self) -> &[u8; KEY_LENGTH] {
        &self.public_key
    }

    /// Opens the payload, which proves that the sender has the private key.
    pub fn verify(mut self, peer: &PeerSecrets, payload: &mut [u8]) -> Option<Responder> {
        let ss = self.symmetric.mix_field_key(&**peer.static_static.as_ref()?);
        self.symmetric
            .open(ss, self.sealed_payload, payload)
            .then_some(Responder { symmetric: self.symmetric, ephemeral: self.ephemeral })
    }
}

/// The responder's state: a verified initiation.
pub struct Responder {
    symmetric: Symmetric,
    /// The initiator's ephemeral public key.
    ephemeral: [u8; KEY_LENGTH],
}

impl Responder {
    /// Writes a response with this payload (WireGuard: none) into `message`. Returns `None` if a key agreement gives
    /// zero.
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
