//! Key logs in the format of Wireshark's wg.keylog_file.
//!
//! A line is `NAME = BASE64`. A PRESHARED_KEY belongs to the LOCAL_EPHEMERAL_PRIVATE_KEY before it. Lines
//! without `=` are headings, which wireguard-tools' extract-handshakes.sh writes. Any other line is an error
//! in an operator's log and skipped in a capture's, as in Wireshark.

use std::{collections::BTreeMap, fmt};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use pyfw_core::wireguard::{
    device::KeyLog,
    noise::{
        cookie::CookieChecker,
        handshake::{Identity, Secret},
    },
};
use zeroize::Zeroizing;

/// Names of the keys.
const STATIC_PRIVATE: &str = "LOCAL_STATIC_PRIVATE_KEY";
const STATIC_PUBLIC: &str = "REMOTE_STATIC_PUBLIC_KEY";
const EPHEMERAL_PRIVATE: &str = "LOCAL_EPHEMERAL_PRIVATE_KEY";
const PRESHARED: &str = "PRESHARED_KEY";

/// A public key.
pub(super) type Key = [u8; 32];

/// The keys for decrypting captured handshakes.
#[derive(Default)]
pub struct OuterKeys {
    statics: BTreeMap<Key, StaticKey>,
    ephemerals: BTreeMap<Key, EphemeralKey>,
    /// The ephemeral key that the next pre-shared key belongs to.
    last_ephemeral: Option<Key>,
}

/// A static key; the private half may be unknown.
struct StaticKey {
    identity: Option<Identity>,
    checker: CookieChecker,
}

/// An ephemeral key pair.
pub(super) struct EphemeralKey {
    pub(super) identity: Identity,
    pub(super) preshared_keys: Vec<Secret>,
}

impl OuterKeys {
    /// Reads an operator's key log.
    pub fn from_keylog(text: &str) -> Result<Self, KeyLogError> {
        let mut keys = Self::default();
        for (number, line) in (1..).zip(text.lines()) {
            keys.add_line(line).map_err(|text| KeyLogError { line: number, text })?;
        }
        Ok(keys)
    }

    /// Adds the keys of a capture's key log. Returns the number of lines skipped.
    pub fn add_secrets(&mut self, text: &str) -> usize {
        text.lines().filter(|line| self.add_line(line).is_err()).count()
    }

    /// Whether there are no keys.
    pub fn is_empty(&self) -> bool {
        self.statics.is_empty() && self.ephemerals.is_empty()
    }

    /// Returns the static key of the receiver of an initiation or response, identified by mac1 (whitepaper
    /// §5.4.4).
    pub(super) fn receiver_of(&self, message: &[u8]) -> Option<&Key> {
        let mut keys = self.statics.iter();
        keys.find(|(_, key)| key.checker.is_mac1_right(message)).map(|(public_key, _)| public_key)
    }

    pub(super) fn static_identity(&self, public_key: &Key) -> Option<&Identity> {
        self.statics.get(public_key)?.identity.as_ref()
    }

    pub(super) fn ephemeral(&self, public_key: &Key) -> Option<&EphemeralKey> {
        self.ephemerals.get(public_key)
    }

    fn add_line(&mut self, line: &str) -> Result<(), String> {
        let Some((name, value)) = line.split_once('=') else { return Ok(()) };
        let (name, value) = (name.trim(), value.trim());
        if name.starts_with('#') {
            return Ok(());
        }
        if ![STATIC_PRIVATE, STATIC_PUBLIC, EPHEMERAL_PRIVATE, PRESHARED].contains(&name) {
            return Err(format!(
                "unknown key name {name:?}; expected {STATIC_PRIVATE}, {STATIC_PUBLIC}, \
                 {EPHEMERAL_PRIVATE} or {PRESHARED}"
            ));
        }
        // The invalid value is not shown: it may be most of a secret.
        let key = decode(value)
            .ok_or_else(|| format!("{name}: invalid key; expected 44 characters of base64"))?;
        match name {
            STATIC_PRIVATE => {
                let identity = Identity::new(&key);
                let public_key = *identity.public_key();
                self.static_key(public_key).identity = Some(identity);
            }
            STATIC_PUBLIC => {
                self.static_key(*key);
            }
            EPHEMERAL_PRIVATE => self.add_ephemeral(&key),
            _ => {
                let last = self.last_ephemeral.and_then(|last| self.ephemerals.get_mut(&last));
                let last = last.ok_or_else(|| {
                    format!("{PRESHARED} without a {EPHEMERAL_PRIVATE} before it")
                })?;
                if !last.preshared_keys.contains(&key) {
                    last.preshared_keys.push(key);
                }
            }
        }
        Ok(())
    }

    fn static_key(&mut self, public_key: Key) -> &mut StaticKey {
        self.statics.entry(public_key).or_insert_with(|| StaticKey {
            identity: None,
            checker: CookieChecker::new(&public_key),
        })
    }

    fn add_ephemeral(&mut self, key: &Secret) {
        let identity = Identity::new(key);
        let public_key = *identity.public_key();
        self.last_ephemeral = Some(public_key);
        self.ephemerals
            .entry(public_key)
            .or_insert_with(|| EphemeralKey { identity, preshared_keys: Vec::new() });
    }
}

/// An invalid line of a key log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyLogError {
    /// Line number, from 1.
    pub line: usize,
    /// What is wrong with the line.
    pub text: String,
}

impl fmt::Display for KeyLogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "key log, line {}: {}", self.line, self.text)
    }
}

impl std::error::Error for KeyLogError {}

/// Formats the keys of one handshake as lines of a key log.
pub fn key_log_text(log: &KeyLog) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::new());
    let mut line = |name: &str, key: &[u8; 32]| {
        text.push_str(name);
        text.push_str(" = ");
        BASE64.encode_string(key, &mut text);
        text.push('\n');
    };
    line(STATIC_PRIVATE, &log.static_secret);
    line(STATIC_PUBLIC, &log.public_key);
    line(EPHEMERAL_PRIVATE, &log.ephemeral_secret);
    line(PRESHARED, &log.preshared_key);
    text
}

fn decode(text: &str) -> Option<Secret> {
    let bytes = Zeroizing::new(BASE64.decode(text).ok()?);
    let mut key = Secret::default();
    (bytes.len() == key.len()).then(|| key.copy_from_slice(&bytes))?;
    Some(key)
}
