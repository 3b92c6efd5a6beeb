//! A handshake as an observer follows it, with keys of either end (whitepaper §5.4.2, §5.4.3).
//!
//! In: an initiation, its response, and keys. Out: the keys of the session. Each of the four
//! agreements can be made by either of its ends, so each is made by whichever private key is there:
//! the static and ephemeral keys of one end are enough, and so are some mixtures. Drops: what does
//! not open, with a reason.

use pyfw_core::wireguard::noise::{
    handshake::{Identity, KEY_LENGTH, Secret},
    message::{INITIATION_NOISE, RESPONSE_NOISE},
    symmetric::{IDENTIFIER, Split, Symmetric},
    tai64n::TIMESTAMP_LENGTH,
};

use super::{
    Reason,
    keys::{Key, OuterKeys},
};
use pyfw_core::aead::TAG_LENGTH;

/// An initiation that was opened.
pub(super) struct Initiation {
    symmetric: Symmetric,
    /// Static keys.
    pub(super) initiator: Key,
    pub(super) responder: Key,
    /// The initiator's.
    ephemeral: Key,
}

impl Initiation {
    /// Opens an initiation, whose length is right.
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

    /// Opens the response to it, whose length is right, and gives the session's keys.
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
        // The log need not say of which session a pre-shared key is the last: all are tried, and
        // none at all, which is zeros (whitepaper §5.2).
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

/// One agreement, by whichever of its ends is known.
fn agree(ends: [(Option<&Identity>, &Key); 2]) -> Result<Secret, Reason> {
    let (identity, public_key) = ends
        .into_iter()
        .find_map(|(identity, public_key)| Some((identity?, public_key)))
        .ok_or(Reason::MissingKeys)?;
    identity.agree(public_key).ok_or(Reason::WrongKeys)
}

/// The key that a Noise message begins with, and the rest.
fn split_key(message: &[u8]) -> (Key, &[u8]) {
    let (key, rest) = message.split_at(KEY_LENGTH);
    let mut ephemeral = Key::default();
    ephemeral.copy_from_slice(key);
    (ephemeral, rest)
}
