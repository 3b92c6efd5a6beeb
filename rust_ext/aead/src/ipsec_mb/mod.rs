//! Intel IPsec-MB, loaded at run time: ChaCha20-Poly1305 with AVX2 and AVX-512, vectorised within a packet.
//!
//! The slots of a call may complete in any order; the call returns when all have. Nothing is allocated. A
//! slot that the library does not complete is never sent as if it were sealed.

mod jobs;
mod layout;
mod library;
mod manager;
mod packets;
#[cfg(test)]
mod tests;

use arrayvec::ArrayVec;
use pyfw_core::aead::{Aead, Slot, TAG_LENGTH, TransportKey};
use subtle::ConstantTimeEq;

use self::jobs::JobQueue;
use self::layout::Direction;
use self::library::{Interface, IpsecMbLibrary, SONAMES};
use self::manager::Manager;
use self::packets::PacketCalls;
use crate::self_test;

/// Packets per call of the library: a full GSO send (UDP_MAX_SEGMENTS), below the 256 jobs that a queue
/// holds.
const PACKETS_PER_CHUNK: usize = 64;

/// RFC 8439 §2.8: a 96-bit nonce.
const NONCE_LENGTH: usize = 12;

/// The cipher of IPsec-MB, with its own manager.
#[derive(Debug)]
pub(crate) struct IpsecMb {
    backend: Backend,
    /// Whitepaper §5.4.6: the first four bytes stay zero, the counter follows.
    nonces: [[u8; NONCE_LENGTH]; PACKETS_PER_CHUNK],
    /// The tags that `open` computes, to compare.
    tags: [[u8; TAG_LENGTH]; PACKETS_PER_CHUNK],
}

/// The interface of the loaded version.
#[derive(Debug)]
enum Backend {
    Jobs(JobQueue),
    Packets(PacketCalls),
}

/// A packet to seal or open in place, by pointers.
#[derive(Debug)]
struct Packet {
    nonce: *const u8,
    text: *mut u8,
    length: usize,
    /// Receives the computed tag.
    tag: *mut u8,
}

/// Packets that the library seals or opens in one call.
#[derive(Clone, Copy, Debug)]
struct Chunk<'r> {
    direction: Direction,
    key: &'r TransportKey,
    /// Associated data of each packet; empty in a tunnel (whitepaper §5.4.6).
    associated: &'r [u8],
    packets: &'r [Packet],
}

impl Backend {
    fn new(library: IpsecMbLibrary) -> Result<Self, String> {
        let interface = library.interface()?;
        let manager = Manager::new(library, interface)?;
        match interface {
            Interface::Jobs => JobQueue::new(manager).map(Self::Jobs),
            Interface::Packets => PacketCalls::new(manager).map(Self::Packets),
        }
    }

    /// Seals or opens the packets, and returns how many the library completed: all, unless something is
    /// wrong.
    ///
    /// # Safety
    /// All pointers of the packets are valid for their lengths and not used elsewhere during the call, and
    /// there are at most [`PACKETS_PER_CHUNK`] packets.
    unsafe fn run(&mut self, chunk: Chunk<'_>) -> usize {
        debug_assert!(chunk.packets.len() <= PACKETS_PER_CHUNK);
        // SAFETY: as the caller's.
        unsafe {
            match self {
                Self::Jobs(queue) => queue.run(chunk),
                Self::Packets(calls) => calls.run(chunk),
            }
        }
    }
}

impl IpsecMb {
    /// Loads the library and compares it with ring, or returns the reason why it cannot be used.
    pub(crate) fn new() -> Result<Self, String> {
        Self::self_tested(IpsecMbLibrary::load(SONAMES)?)
    }

    /// Returns the version of the installed library, and whether it can be used.
    pub(crate) fn probe() -> (Option<String>, Result<(), String>) {
        match IpsecMbLibrary::load(SONAMES) {
            Err(reason) => (None, Err(reason)),
            Ok(library) => (Some(library.version.clone()), Self::self_tested(library).map(drop)),
        }
    }

    fn self_tested(library: IpsecMbLibrary) -> Result<Self, String> {
        let mut cipher = Self {
            backend: Backend::new(library)?,
            nonces: [[0; NONCE_LENGTH]; PACKETS_PER_CHUNK],
            tags: [[0; TAG_LENGTH]; PACKETS_PER_CHUNK],
        };
        self_test::agrees_with_ring(&mut cipher)?;
        Ok(cipher)
    }

    /// Seals or opens at most `PACKETS_PER_CHUNK` slots, and returns whether the library completed all.
    ///
    /// Sealing writes the tags behind the slots, opening into `self.tags`.
    fn run_chunk(
        &mut self,
        direction: Direction,
        key: &TransportKey,
        buffer: &mut [u8],
        slots: &[Slot],
    ) -> bool {
        assert!(slots.len() <= PACKETS_PER_CHUNK);
        for (slot, nonce) in slots.iter().zip(&mut self.nonces) {
            let end = slot.offset as usize + slot.length as usize + TAG_LENGTH;
            assert!(end <= buffer.len(), "the slot and its tag lie inside the buffer");
            nonce[NONCE_LENGTH - 8..].copy_from_slice(&slot.counter.to_le_bytes());
        }
        let (nonces, tags) = (self.nonces.as_ptr(), self.tags.as_mut_ptr());
        let buffer = buffer.as_mut_ptr();
        let packet = |(index, slot): (usize, &Slot)| {
            // SAFETY: text and tag lie inside `buffer`, as checked above; `index` is below the length of both
            // arrays.
            unsafe {
                let text = buffer.add(slot.offset as usize);
                let tag = match direction {
                    Direction::Encrypt => text.add(slot.length as usize),
                    Direction::Decrypt => tags.add(index).cast(),
                };
                let nonce = nonces.add(index).cast();
                Packet { nonce, text, length: slot.length as usize, tag }
            }
        };
        let packets: ArrayVec<Packet, PACKETS_PER_CHUNK> =
            slots.iter().enumerate().map(packet).collect();
        // SAFETY: as above; buffer and arrays are borrowed mutably for the call.
        let completed = unsafe {
            self.backend.run(Chunk { direction, key, associated: &[], packets: &packets })
        };
        completed == slots.len()
    }
}

impl Aead for IpsecMb {
    fn name(&self) -> &'static str {
        "ipsec-mb"
    }

    fn seal(&mut self, key: &TransportKey, buffer: &mut [u8], slots: &[Slot]) {
        for slots in slots.chunks(PACKETS_PER_CHUNK) {
            // Otherwise the buffer may still hold plaintext, and sealing cannot report an error.
            let completed = self.run_chunk(Direction::Encrypt, key, buffer, slots);
            assert!(completed, "IPsec-MB did not complete a packet");
        }
    }

    fn open(&mut self, key: &TransportKey, buffer: &mut [u8], slots: &[Slot], opened: &mut [bool]) {
        assert_eq!(slots.len(), opened.len(), "one verdict per slot");
        for (slots, opened) in
            slots.chunks(PACKETS_PER_CHUNK).zip(opened.chunks_mut(PACKETS_PER_CHUNK))
        {
            let completed = self.run_chunk(Direction::Decrypt, key, buffer, slots);
            for ((slot, computed), opened) in slots.iter().zip(&self.tags).zip(opened) {
                let end = slot.offset as usize + slot.length as usize;
                *opened = completed && same_tag(computed, &buffer[end..end + TAG_LENGTH]);
            }
        }
    }
}

/// Compares in constant time; as one number, which takes 30 ns less than byte by byte.
fn same_tag(computed: &[u8; TAG_LENGTH], received: &[u8]) -> bool {
    let received = received.try_into().expect("a tag has 16 bytes");
    u128::from_ne_bytes(*computed).ct_eq(&u128::from_ne_bytes(received)).into()
}
