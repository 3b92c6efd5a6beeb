//! Derives a session's keys from a captured handshake (whitepaper §5.4.2, §5.4.3).
//!
//! Either peer can compute each of the four Diffie-Hellman agreements, so each is computed with whichever
//! private key is known: the static and ephemeral keys of one peer suffice, and so do some combinations of
//! both peers' keys.

use pyfw_core::{
    aead::TAG_LENGTH,
    wireguard::noise::{
        handshake::{Identity, KEY_LENGTH, Secret},
        message::{INITIATION_NOISE, RESPONSE_NOISE},
        symmetric::{IDENTIFIER, Split, Symmetric},
        tai64n::TIMESTAMP_LENGTH,
    },
};

use super::{
    Reason,
    keys::{Key, OuterKeys},
};

/// A decrypted initiation.
pub(super) struct Initiation {
    symmetric: Symmetric,
    /// Static public key of the initiator.
    pub(super) initiator: Key,
    /// Static public key of the responder.
    pub(super) responder: Key,
    /// Ephemeral public key of the initiator.
    ephemeral: Key,
}

impl Initiation {
    /// Decrypts an initiation of the correct length.
    pub(super) fn open(keys: &OuterKeys, message: &[u8]) -> Result<Self, Reason> {
        let responder = *keys.receiver_of(message).ok_or(Reason::UnknownReceiver)?;
        let (ephemeral, sealed) = split_key(&message[INITIATION_NOISE]);
        let (sealed_static, sealed_stamp) = sealed.split_at(KEY_LENGTH + TAG_LENGTH);
        let responder_identity = keys.static_identity(&responder);

        let mut symmetric = Symmetric::new(IDENTIFIER);
        symmetric.mix_hash(&responder);
        symmetric.mix_hash(&ephemeral);
        symmetric.mix_key(&ephemeral);
        let ephemeral_identity = keys.ephemeral(&ephemeral).map(|key| &key.identity);
        let es = agree([(responder_identity, &ephemeral), (ephemeral_identity, &responder)])?;
        let key = symmetric.mix_field_key(&*es);
        let mut initiator = Key::default();
        if !symmetric.open(key, sealed_static, &mut initiator) {
            return Err(Reason::WrongKeys);
        }
        let initiator_identity = keys.static_identity(&initiator);
        let ss = agree([(responder_identity, &initiator), (initiator_identity, &responder)])?;
        let key = symmetric.mix_field_key(&*ss);
        if !symmetric.open(key, sealed_stamp, &mut [0; TIMESTAMP_LENGTH]) {
            return Err(Reason::WrongKeys);
        }
        Ok(Self { symmetric, initiator, responder, ephemeral })
    }

    /// Decrypts the response, of the correct length, and returns the session's keys.
    pub(super) fn finish(&self, keys: &OuterKeys, message: &[u8]) -> Result<Split, Reason> {
        let (ephemeral, sealed) = split_key(&message[RESPONSE_NOISE]);
        let initiator_key = keys.ephemeral(&self.ephemeral);
        let responder_key = keys.ephemeral(&ephemeral);
        let responder_identity = responder_key.map(|key| &key.identity);
        let ee = agree([
            (initiator_key.map(|key| &key.identity), &ephemeral),
            (responder_identity, &self.ephemeral),
        ])?;
        let se = agree([
            (keys.static_identity(&self.initiator), &ephemeral),
            (responder_identity, &self.initiator),
        ])?;

        let mut agreed = self.symmetric.clone();
        agreed.mix_hash(&ephemeral);
        agreed.mix_key(&ephemeral);
        agreed.mix_key(&*ee);
        agreed.mix_key(&*se);
        // A log may hold several pre-shared keys for one ephemeral key, so all are tried, then none, which is
        // all zeros (whitepaper §5.2).
        [initiator_key, responder_key]
            .into_iter()
            .flatten()
            .flat_map(|key| &key.preshared_keys)
            .chain([&Secret::default()])
            .find_map(|preshared_key| {
                let mut symmetric = agreed.clone();
                let key = symmetric.mix_preshared_key(preshared_key);
                symmetric.open(key, sealed, &mut []).then(|| symmetric.split())
            })
            .ok_or(Reason::WrongKeys)
    }
}

/// Computes an agreement with the first private key that is known.
fn agree(pairs: [(Option<&Identity>, &Key); 2]) -> Result<Secret, Reason> {
    let (identity, public_key) = pairs
        .into_iter()
        .find_map(|(identity, public_key)| Some((identity?, public_key)))
        .ok_or(Reason::MissingKeys)?;
    identity.agree(public_key).ok_or(Reason::WrongKeys)
}

/// Splits a Noise message into the ephemeral key that it starts with and the rest.
fn split_key(message: &[u8]) -> (Key, &[u8]) {
    let (key, rest) = message.split_at(KEY_LENGTH);
    let mut ephemeral = Key::default();
    ephemeral.copy_from_slice(key);
    (ephemeral, rest)
}
