//! Keys, and the ciphers that can be used.

use pyfw_core::wireguard::{device::Entropy, noise::handshake};
use pyo3::prelude::*;

use crate::convert::key;

/// Returns a new private key, clamped (RFC 7748 §5) as `wg genkey` does.
#[pyfunction]
pub(crate) fn generate_private_key() -> [u8; 32] {
    let mut key = generate_preshared_key();
    key[0] &= 248;
    key[31] = key[31] & 127 | 64;
    key
}

/// Returns 32 random bytes.
#[pyfunction]
pub(crate) fn generate_preshared_key() -> [u8; 32] {
    let mut key = [0; 32];
    pyfw_linux::sys::entropy::SystemEntropy.fill(&mut key);
    key
}

/// Returns the public key of a private key.
#[pyfunction]
pub(crate) fn public_key(private_key: &[u8]) -> PyResult<[u8; 32]> {
    Ok(handshake::public_key(&key(private_key)?))
}

/// Returns name and version of the transport ciphers that can be used, the preferred one first.
#[pyfunction]
pub(crate) fn ciphers() -> Vec<String> {
    pyfw_aead::available()
        .into_iter()
        .filter(|cipher| cipher.usable.is_ok())
        .map(|cipher| match cipher.version {
            Some(version) => format!("{} {version}", cipher.name),
            None => cipher.name.to_owned(),
        })
        .collect()
}
