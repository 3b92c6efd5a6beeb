//! The interface of a transport cipher: it seals or opens many datagrams of one key in one call, in place.
//!
//! `pyfw-aead` implements it; `encrypt` and `decrypt` call it.

use zeroize::Zeroizing;

/// Length of the Poly1305 tag that follows each slot.
pub const TAG_LENGTH: usize = 16;

/// The key of one direction of a session, zeroed when dropped.
pub type TransportKey = Zeroizing<[u8; 32]>;

/// One plaintext in a buffer: `buffer[offset..offset + length]`, its tag in the 16 bytes after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// First byte of the text.
    pub offset: u32,
    /// Bytes of text without the tag; 0 for a keepalive.
    pub length: u32,
    /// The datagram's counter: the nonce is four zero bytes, then this in little endian.
    pub counter: u64,
}

/// ChaCha20-Poly1305 (RFC 8439) over a batch, with WireGuard's nonce and no associated data.
///
/// One object serves one thread. All slots lie inside `buffer` and do not overlap.
pub trait Aead: Send {
    /// The name that operators see, such as `ring`.
    fn name(&self) -> &'static str;

    /// Encrypts each slot in place and writes its tag behind it.
    fn seal(&mut self, key: &TransportKey, buffer: &mut [u8], slots: &[Slot]);

    /// Decrypts each slot in place; sets `opened[i]` to whether the tag of `slots[i]` is right. The bytes of a
    /// slot that fails are unspecified and must not be used.
    ///
    /// # Panics
    /// If `opened` and `slots` differ in length.
    fn open(&mut self, key: &TransportKey, buffer: &mut [u8], slots: &[Slot], opened: &mut [bool]);
}
