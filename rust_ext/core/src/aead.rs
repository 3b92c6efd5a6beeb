//! What a transport cipher must do for the paths: seal and open many datagrams in one call.
//!
//! In: one key, one buffer, the slots in it. Out: the same bytes, sealed or opened in place.
//! The implementations live in `pyfw-aead`; `encrypt` and `decrypt` are the callers.

use zeroize::Zeroizing;

/// Length of the Poly1305 tag that follows each slot.
pub const TAG_LENGTH: usize = 16;

/// A transport key of one direction of one session, wiped when dropped.
pub type TransportKey = Zeroizing<[u8; 32]>;

/// One plaintext in a buffer: `buffer[offset..offset + length]`, its tag in the 16 bytes after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// First byte of the text.
    pub offset: u32,
    /// Bytes of text, the tag not counted; may be 0 (a keepalive).
    pub length: u32,
    /// The datagram's counter: the nonce is four zero bytes, then this in little endian.
    pub counter: u64,
}

/// ChaCha20-Poly1305 (RFC 8439) over a batch, with WireGuard's nonce and no associated data.
///
/// One object belongs to one thread. All slots lie inside `buffer` and do not overlap.
pub trait Aead: Send {
    /// The name that is shown to operators, such as `ring`.
    fn name(&self) -> &'static str;

    /// Encrypts each slot in place and writes its tag behind it.
    fn seal(&mut self, key: &TransportKey, buffer: &mut [u8], slots: &[Slot]);

    /// Decrypts each slot in place; `opened[i]` says whether the tag of `slots[i]` was right.
    /// The bytes of a slot that failed are unspecified and must not be used.
    ///
    /// # Panics
    /// If `opened` is not as long as `slots`.
    fn open(&mut self, key: &TransportKey, buffer: &mut [u8], slots: &[Slot], opened: &mut [bool]);
}
