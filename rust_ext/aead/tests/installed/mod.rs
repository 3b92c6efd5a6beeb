//! The ciphers that this machine can use; what it cannot is said, not hidden.

use pyfw_aead::{available, open};
use pyfw_core::aead::Aead;

/// Each cipher that opens here; prints why another does not.
pub(crate) fn ciphers() -> Vec<Box<dyn Aead>> {
    let mut ciphers = Vec::new();
    for cipher in available() {
        match cipher.usable {
            Ok(()) => ciphers.push(open(cipher.name).expect("it was said to be usable")),
            Err(reason) => eprintln!("skipped for {}: {reason}", cipher.name),
        }
    }
    ciphers
}
