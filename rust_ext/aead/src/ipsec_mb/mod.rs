//! Intel IPsec-MB, loaded at run time: ChaCha20-Poly1305 of AVX2 and AVX-512 for one packet at a time.
//!
//! In: a key, a buffer and its slots. Out: the same slots, sealed or opened in place; the slots of a
//! call may complete in any order, the call returns when all have.
//! Nothing is allocated. A slot that the library does not complete never leaves as if it were sealed.

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

/// Packets given at once: a full GSO send (UDP_MAX_SEGMENTS), below the 256 jobs that a queue holds.
const PACKETS_A_ROUND: usize = 64;

/// RFC 8439 §2.8: a 96-bit nonce.
const NONCE_LENGTH: usize = 12;

/// The cipher of IPsec-MB, with a manager of its own.
#[derive(Debug)]
pub(crate) struct IpsecMb {
    calls: Calls,
    /// Whitepaper §5.4.6: the first four bytes stay zero, the counter follows.
    nonces: [[u8; NONCE_LENGTH]; PACKETS_A_ROUND],
    /// Where `open` has tags computed, to compare.
    tags: [[u8; TAG_LENGTH]; PACKETS_A_ROUND],
}

/// How the library is called.
#[derive(Debug)]
enum Calls {
    Jobs(JobQueue),
    Packets(PacketCalls),
}

/// A packet to be sealed or opened in place, all of it elsewhere.
#[derive(Debug)]
struct Packet {
    nonce: *const u8,
    text: *mut u8,
    length: usize,
    /// Where the computed tag goes.
    tag: *mut u8,
}

/// Packets that are sealed or opened together.
#[derive(Clone, Copy, Debug)]
struct Round<'r> {
    direction: Direction,
    key: &'r TransportKey,
    /// With each of them; a tunnel's have none (whitepaper §5.4.6).
    associated: &'r [u8],
    packets: &'r [Packet],
}

impl Calls {
    fn new(library: IpsecMbLibrary) -> Result<Self, String> {
        let interface = library.interface()?;
        let manager = Manager::new(library, interface)?;
        match interface {
            Interface::Jobs => JobQueue::new(manager).map(Self::Jobs),
            Interface::Packets => PacketCalls::new(manager).map(Self::Packets),
        }
    }

    /// Seals or opens the packets; gives how many were completed, all if nothing is wrong.
    ///
    /// # Safety
    /// What the packets point to is valid for their lengths and touched by nobody else; they are
    /// [`PACKETS_A_ROUND`] at most.
    unsafe fn run(&mut self, round: Round<'_>) -> usize {
        debug_assert!(round.packets.len() <= PACKETS_A_ROUND);
        // SAFETY: as the caller's.
        unsafe {
            match self {
                Self::Jobs(queue) => queue.run(round),
                Self::Packets(calls) => calls.run(round),
            }
        }
    }
}

impl IpsecMb {
    /// Loads the library and tries it against ring; the reason where it cannot be used.
    pub(crate) fn new() -> Result<Self, String> {
        Self::trusted(IpsecMbLibrary::load(SONAMES)?)
    }

    /// The version of the library that is installed, and whether it can be used.
    pub(crate) fn probe() -> (Option<String>, Result<(), String>) {
        match IpsecMbLibrary::load(SONAMES) {
            Err(reason) => (None, Err(reason)),
            Ok(library) => (Some(library.version.clone()), Self::trusted(library).map(drop)),
        }
    }

    fn trusted(library: IpsecMbLibrary) -> Result<Self, String> {
        let mut cipher = Self {
            calls: Calls::new(library)?,
            nonces: [[0; NONCE_LENGTH]; PACKETS_A_ROUND],
            tags: [[0; TAG_LENGTH]; PACKETS_A_ROUND],
        };
        self_test::agrees_with_ring(&mut cipher)?;
        Ok(cipher)
    }

    /// Seals or opens at most `PACKETS_A_ROUND` slots; says whether the library completed all.
    ///
    /// Tags go behind the slots when sealing, into `self.tags` when opening.
    fn run_round(
        &mut self,
        direction: Direction,
        key: &TransportKey,
        buffer: &mut [u8],
        slots: &[Slot],
    ) -> bool {
        assert!(slots.len() <= PACKETS_A_ROUND);
        for (slot, nonce) in slots.iter().zip(&mut self.nonces) {
            let end = slot.offset as usize + slot.length as usize + TAG_LENGTH;
            assert!(end <= buffer.len(), "the slot and its tag lie inside the buffer");
            nonce[NONCE_LENGTH - 8..].copy_from_slice(&slot.counter.to_le_bytes());
        }
        let (nonces, tags) = (self.nonces.as_ptr(), self.tags.as_mut_ptr());
        let buffer = buffer.as_mut_ptr();
        let packet = |(index, slot): (usize, &Slot)| {
            // SAFETY: the range of text and tag was found inside `buffer` above; `index` is below
            // the length of both arrays.
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
        let packets: ArrayVec<Packet, PACKETS_A_ROUND> =
            slots.iter().enumerate().map(packet).collect();
        // SAFETY: as above; nothing else touches the buffer and both arrays meanwhile.
        let completed =
            unsafe { self.calls.run(Round { direction, key, associated: &[], packets: &packets }) };
        completed == slots.len()
    }
}

impl Aead for IpsecMb {
    fn name(&self) -> &'static str {
        "ipsec-mb"
    }

    fn seal(&mut self, key: &TransportKey, buffer: &mut [u8], slots: &[Slot]) {
        for slots in slots.chunks(PACKETS_A_ROUND) {
            // Else what is in the buffer may be plaintext; there is no verdict for that but to stop.
            let completed = self.run_round(Direction::Encrypt, key, buffer, slots);
            assert!(completed, "IPsec-MB did not complete a packet");
        }
    }

    fn open(&mut self, key: &TransportKey, buffer: &mut [u8], slots: &[Slot], opened: &mut [bool]) {
        assert_eq!(slots.len(), opened.len(), "one verdict a slot");
        for (slots, opened) in slots.chunks(PACKETS_A_ROUND).zip(opened.chunks_mut(PACKETS_A_ROUND))
        {
            let completed = self.run_round(Direction::Decrypt, key, buffer, slots);
            for ((slot, computed), opened) in slots.iter().zip(&self.tags).zip(opened) {
                let end = slot.offset as usize + slot.length as usize;
                *opened = completed && same_tag(computed, &buffer[end..end + TAG_LENGTH]);
            }
        }
    }
}

/// In constant time; as one number, which costs 30 ns less than byte by byte.
fn same_tag(computed: &[u8; TAG_LENGTH], received: &[u8]) -> bool {
    let received = received.try_into().expect("a tag has 16 bytes");
    u128::from_ne_bytes(*computed).ct_eq(&u128::from_ne_bytes(received)).into()
}
