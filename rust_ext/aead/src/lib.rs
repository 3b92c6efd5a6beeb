//! The transport ciphers of pyfw: batches of ChaCha20-Poly1305, sealed and opened in place.
//!
//! In: the operator's choice. Out: a [`pyfw_core::aead::Aead`] for one thread; each data thread
//! opens its own. No primitive is written here, and nothing is kept between calls of [`open`].
//!
//! - `ring` is compiled in.
//! - `ipsec-mb` is Intel's library, loaded at run time where it is installed (Debian 12: libipsec-mb1,
//!   13: libipsec-mb2), of a version whose interface was verified, and after a self-test against ring.
//! - `auto` is `ipsec-mb` where it can be used, otherwise `ring`.
//!
//! What the preference is worth, in nanoseconds a slot to seal / to open, in batches of 46, measured
//! by `examples/seal.rs` on an EPYC with AVX-512:
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

/// What [`open`] knows.
const CHOICES: [&str; 3] = ["auto", "ipsec-mb", "ring"];

/// Opens the cipher of that name, for the thread that will use it.
///
/// Takes about a millisecond where a library is loaded: it is tried before it is trusted.
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

/// Returns no cipher: everything is sent in the clear and every forgery is accepted. [`open`] never returns it.
#[cfg(feature = "bench")]
pub fn without_cipher() -> Box<dyn Aead> {
    Box::new(off::Off)
}

/// A cipher and whether it can be used here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Availability {
    /// What [`open`] calls it.
    pub name: &'static str,
    /// What an installed library says of itself; `None` where it is not installed, and for what is
    /// compiled in.
    pub version: Option<String>,
    /// Or the reason why it cannot.
    pub usable: Result<(), String>,
}

/// Each cipher, the one that `auto` prefers first.
pub fn available() -> Vec<Availability> {
    let (version, usable) = probe_ipsec_mb();
    vec![
        Availability { name: "ipsec-mb", version, usable },
        Availability { name: "ring", version: None, usable: Ok(()) },
    ]
}

/// Why no cipher was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// There is no cipher of that name.
    Unknown {
        /// As the operator wrote it.
        choice: String,
    },
    /// The cipher is known, but not here.
    Unusable {
        /// The cipher.
        name: &'static str,
        /// In the words of the system or of the library.
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
    Err("only on Linux on x86-64".into())
}

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
fn probe_ipsec_mb() -> (Option<String>, Result<(), String>) {
    (None, open_ipsec_mb().map(drop))
}
