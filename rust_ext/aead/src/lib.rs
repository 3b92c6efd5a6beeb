//! The transport ciphers of pyfw: batches of ChaCha20-Poly1305, sealed and opened in place. No primitive is
//! implemented here.
//!
//! - `ring` is compiled in.
//! - `ipsec-mb` is Intel's library, loaded at run time if it is installed (Debian 12: libipsec-mb1,
//!   13: libipsec-mb2), if the interface of its version was verified, and if it passes a self-test against ring.
//! - `auto` is `ipsec-mb` if it can be used, otherwise `ring`.
//!
//! Nanoseconds per slot to seal / to open, in batches of 46, measured by `examples/seal.rs` on an EPYC with
//! AVX-512:
//!
//! | bytes | ring 0.17.14 | ipsec-mb 1.3.0 | 2.0.0 |
//! |---|---|---|---|
//! | 0 | 150 / 158 | 132 / 145 | 135 / 146 |
//! | 64 | 170 / 177 | 152 / 158 | 154 / 156 |
//! | 256 | 243 / 248 | 223 / 236 | 220 / 236 |
//! | 1420 | 728 / 694 | 504 / 518 | 505 / 514 |

#[cfg(feature = "bench")]
pub mod cost;
#[cfg(any(test, feature = "bench"))]
mod off;
#[cfg(test)]
mod published_vectors;
mod ring;
mod self_test;

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod ipsec_mb;

use std::fmt;

use pyfw_core::aead::Aead;

pub use crate::ring::Ring;

/// The names that [`open`] accepts.
const CHOICES: [&str; 3] = ["auto", "ipsec-mb", "ring"];

/// Opens the cipher of this name for one thread; each data thread opens its own.
///
/// Takes about a millisecond if a library is loaded, because of its self-test.
pub fn open(choice: &str) -> Result<Box<dyn Aead>, Error> {
    match choice {
        "auto" => Ok(open_ipsec_mb().unwrap_or_else(|_| Box::new(Ring))),
        "ipsec-mb" => {
            open_ipsec_mb().map_err(|reason| Error::Unusable { name: "ipsec-mb", reason })
        }
        "ring" => Ok(Box::new(Ring)),
        _ => Err(Error::Unknown { choice: choice.to_owned() }),
    }
}

/// Returns no cipher: everything is sent in the clear and every forgery is accepted. [`open`] never returns
/// it.
#[cfg(feature = "bench")]
pub fn without_cipher() -> Box<dyn Aead> {
    Box::new(off::Off)
}

/// A cipher, and whether it can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Availability {
    /// Its name for [`open`].
    pub name: &'static str,
    /// The version of the installed library; `None` if there is none, and for compiled-in ciphers.
    pub version: Option<String>,
    /// The reason if it cannot be used.
    pub usable: Result<(), String>,
}

/// Returns all ciphers, in the order in which `auto` prefers them.
pub fn available() -> Vec<Availability> {
    let (version, usable) = probe_ipsec_mb();
    vec![
        Availability { name: "ipsec-mb", version, usable },
        Availability { name: "ring", version: None, usable: Ok(()) },
    ]
}

/// An error of [`open`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// There is no cipher of that name.
    Unknown {
        /// As the operator wrote it.
        choice: String,
    },
    /// The cipher cannot be used on this machine.
    Unusable {
        /// The cipher.
        name: &'static str,
        /// The message of the system or of the library.
        reason: String,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { choice } => {
                write!(f, "unknown cipher {choice:?}; known: {}", CHOICES.join(", "))
            }
            Self::Unusable { name, reason } => write!(f, "cipher {name} cannot be used: {reason}"),
        }
    }
}

impl std::error::Error for Error {}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn open_ipsec_mb() -> Result<Box<dyn Aead>, String> {
    Ok(Box::new(ipsec_mb::IpsecMb::new()?))
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn probe_ipsec_mb() -> (Option<String>, Result<(), String>) {
    ipsec_mb::IpsecMb::probe()
}

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
fn open_ipsec_mb() -> Result<Box<dyn Aead>, String> {
    Err("it needs Linux on x86-64".into())
}

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
fn probe_ipsec_mb() -> (Option<String>, Result<(), String>) {
    (None, open_ipsec_mb().map(drop))
}
