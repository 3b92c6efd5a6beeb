//! The ciphers that this machine can use.

use pyfw_aead::{available, open};
use pyfw_core::aead::Aead;

/// Opens each cipher that can be used, and prints why another cannot.
pub(crate) fn ciphers() -> Vec<Box<dyn Aead>> {
    let mut ciphers = Vec::new();
    for cipher in available() {
        match cipher.usable {
            Ok(()) => ciphers.push(open(cipher.name).expect("it is usable")),
            Err(reason) => eprintln!("skipped for {}: {reason}", cipher.name),
        }
    }
    ciphers
}
