//! Noise's symmetric state over BLAKE2s and ChaCha20-Poly1305 (Noise revision 34, §5.2). The primitives come from
//! crates.

use blake2::{Blake2s256, Digest};
use chacha20poly1305::{AeadInOut, ChaCha20Poly1305, KeyInit, Nonce, Tag};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::aead::{TAG_LENGTH, TransportKey};

/// Noise's protocol name, hashed because it is longer than a hash (whitepaper §5.4).
const CONSTRUCTION: &[u8] = b"Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s";
/// WireGuard's prologue (whitepaper §5.4).
pub const IDENTIFIER: &[u8] = b"WireGuard v1 zx2c4 Jason@zx2c4.com";
const HASH_LENGTH: usize = 32;
/// BLAKE2s hashes blocks of 64 bytes (RFC 7693 §2.1); HMAC pads its key to one block (RFC 2104).
const BLOCK_LENGTH: usize = 64;

type Hash = [u8; HASH_LENGTH];
type Secret = Zeroizing<[u8; HASH_LENGTH]>;

/// The chaining key and the hash of the transcript.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Symmetric {
    chaining_key: Hash,
    hash: Hash,
}

/// The two keys of a session.
pub struct Split {
    /// For messages from the initiator to the responder.
    pub from_initiator: TransportKey,
    /// For messages from the responder to the initiator.
    pub from_responder: TransportKey,
}

impl Symmetric {
    /// Creates the initial state. WireGuard's prologue is [`IDENTIFIER`].
    pub fn new(prologue: &[u8]) -> Self {
        let chaining_key = hash(&[CONSTRUCTION]);
        Self { chaining_key, hash: hash(&[&chaining_key, prologue]) }
    }

    /// Mixes public data into the transcript.
    pub fn mix_hash(&mut self, data: &[u8]) {
        self.hash = hash(&[&self.hash, data]);
    }

    /// Mixes in key material, without the key of a field.
    pub fn mix_key(&mut self, input: &[u8]) {
        let [chaining_key] = derive(&self.chaining_key, input);
        self.chaining_key = *chaining_key;
    }

    /// Mixes in key material and returns the key of the next field.
    pub fn mix_field_key(&mut self, input: &[u8]) -> FieldKey {
        let [chaining_key, key] = derive(&self.chaining_key, input);
        self.chaining_key = *chaining_key;
        FieldKey(key)
    }

    /// Mixes the pre-shared key into key and transcript, and returns the key of the next field.
    pub fn mix_preshared_key(&mut self, input: &[u8; 32]) -> FieldKey {
        let [chaining_key, mixed, key] = derive(&self.chaining_key, input);
        self.chaining_key = *chaining_key;
        self.mix_hash(&*mixed);
        FieldKey(key)
    }

    /// Seals a field in place: its text, followed by room for the tag.
    pub fn seal(&mut self, key: FieldKey, field: &mut [u8]) {
        let (text, tag) = field.split_at_mut(field.len() - TAG_LENGTH);
        // Encryption fails only for texts of 256 GiB.
        if let Ok(sealed) =
            key.cipher().encrypt_inout_detached(&Nonce::default(), &self.hash, text.into())
        {
            tag.copy_from_slice(&sealed);
        }
        self.mix_hash(field);
    }

    /// Opens a field into `text`, which is shorter by the tag. Returns whether the tag is right.
    #[must_use]
    pub fn open(&mut self, key: FieldKey, field: &[u8], text: &mut [u8]) -> bool {
        let Some((sealed, tag)) = field.split_last_chunk::<TAG_LENGTH>() else { return false };
        if sealed.len() != text.len() {
            return false;
        }
        text.copy_from_slice(sealed);
        let opened = key.cipher().decrypt_inout_detached(
            &Nonce::default(),
            &self.hash,
            text.into(),
            &Tag::from(*tag),
        );
        self.mix_hash(field);
        opened.is_ok()
    }

    /// Derives the keys of the session.
    pub fn split(&self) -> Split {
        let [from_initiator, from_responder] = derive(&self.chaining_key, &[]);
        Split { from_initiator, from_responder }
    }

    /// The hash of the transcript, to compare two ends.
    #[cfg(test)]
    pub(crate) fn transcript(&self) -> Hash {
        self.hash
    }
}

/// The key of one field, used once, with nonce 0.
pub struct FieldKey(Secret);

impl FieldKey {
    fn cipher(&self) -> ChaCha20Poly1305 {
        ChaCha20Poly1305::new(&(*self.0).into())
    }
}

/// BLAKE2s-256 over concatenated parts.
pub(super) fn hash(parts: &[&[u8]]) -> Hash {
    let mut hasher = Blake2s256::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}

/// HKDF with an empty info and `N` outputs (Noise §4.3; whitepaper §5.4, KDF_n).
fn derive<const N: usize>(chaining_key: &Hash, input: &[u8]) -> [Secret; N] {
    let extracted = hmac(chaining_key, &[input]);
    let mut outputs: [Secret; N] = std::array::from_fn(|_| Secret::default());
    for i in 0..N {
        let previous: &[u8] = if i == 0 { &[] } else { &*outputs[i - 1] };
        // N is 1 to 3.
        outputs[i] = hmac(&extracted, &[previous, &[i as u8 + 1]]);
    }
    outputs
}

/// HMAC (RFC 2104), which Noise §4.3 requires instead of BLAKE2s's own keyed mode.
fn hmac(key: &Hash, parts: &[&[u8]]) -> Secret {
    let mut pad = Zeroizing::new([0x36; BLOCK_LENGTH]);
    pad.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
    let mut inner = Blake2s256::new_with_prefix(*pad);
    for part in parts {
        inner.update(part);
    }
    pad.iter_mut().for_each(|byte| *byte ^= 0x36 ^ 0x5c);
    let mut outer = Blake2s256::new_with_prefix(*pad);
    outer.update(inner.finalize());
    Zeroizing::new(outer.finalize().into())
}
