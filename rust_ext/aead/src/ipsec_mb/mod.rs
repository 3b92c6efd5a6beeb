//! Intel IPsec-MB, loaded at run time: ChaCha20-Poly1305 of AVX2 and AVX-512 for one packet at a time.
//!
//! In: a key, a buffer and its slots. Out: the same slots, sealed or opened in place, one job each;
//! the slots of a call may complete in any order, the call returns when all have.
//! Nothing is allocated. A job that the library does not complete never leaves as if it were sealed.

mod layout;
mod library;
mod manager;
#[cfg(test)]
mod tests;

use std::ffi::c_void;
use std::ptr::null_mut;

use pyfw_core::aead::{Aead, Slot, TAG_LENGTH, TransportKey};
use subtle::ConstantTimeEq;

use self::layout::{
    AUTH_CHACHA20_POLY1305, CIPHER_CHACHA20_POLY1305, ChainOrder, Direction, Job, STATUS_COMPLETED,
};
use self::library::{IpsecMbLibrary, SONAMES};
use self::manager::JobQueue;
use crate::self_test;

/// Jobs queued before a flush: a full GSO send (UDP_MAX_SEGMENTS), below the library's queue of 256.
const JOBS_A_ROUND: usize = 64;

/// RFC 8439 §2.8: a 96-bit nonce.
const NONCE_LENGTH: usize = 12;

/// The cipher of IPsec-MB, with a job queue of its own.
#[derive(Debug)]
pub(crate) struct IpsecMb {
    queue: JobQueue,
    /// Whitepaper §5.4.6: the first four bytes stay zero, the counter follows.
    nonces: [[u8; NONCE_LENGTH]; JOBS_A_ROUND],
    /// Where `open` has tags computed, to compare.
    tags: [[u8; TAG_LENGTH]; JOBS_A_ROUND],
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
            queue: JobQueue::new(library)?,
            nonces: [[0; NONCE_LENGTH]; JOBS_A_ROUND],
            tags: [[0; TAG_LENGTH]; JOBS_A_ROUND],
        };
        self_test::agrees_with_ring(&mut cipher)?;
        Ok(cipher)
    }

    /// Runs at most `JOBS_A_ROUND` jobs and waits for all; `completed(i)` is told of each.
    ///
    /// Tags go behind the slots when sealing, into `self.tags` when opening.
    fn run_round(
        &mut self,
        direction: Direction,
        key: &TransportKey,
        buffer: &mut [u8],
        slots: &[Slot],
        mut completed: impl FnMut(usize),
    ) {
        assert!(slots.len() <= JOBS_A_ROUND);
        for (slot, nonce) in slots.iter().zip(&mut self.nonces) {
            let end = slot.offset as usize + slot.length as usize + TAG_LENGTH;
            assert!(end <= buffer.len(), "the slot and its tag lie inside the buffer");
            nonce[NONCE_LENGTH - 8..].copy_from_slice(&slot.counter.to_le_bytes());
        }
        let (nonces, tags) = (self.nonces.as_ptr(), self.tags.as_mut_ptr());
        let buffer = buffer.as_mut_ptr();
        let mut note = |job: &Job| {
            if job.status == STATUS_COMPLETED {
                completed(job.user_data as usize);
            }
        };
        for (index, slot) in slots.iter().enumerate() {
            // SAFETY: the range of text and tag was found inside `buffer` above; `index` is below
            // the length of both arrays. Nothing else touches the three until the flush below.
            let job = unsafe {
                let text = buffer.add(slot.offset as usize);
                let tag = match direction {
                    Direction::Encrypt => text.add(slot.length as usize),
                    Direction::Decrypt => tags.add(index).cast(),
                };
                let nonce = nonces.add(index).cast();
                chacha20_poly1305(
                    direction,
                    key,
                    nonce,
                    &[],
                    text,
                    slot.length as usize,
                    tag,
                    index,
                )
            };
            // SAFETY: as above for `buffer`, `nonces` and `tags`; the key is borrowed for the call.
            // Every round ends with an empty queue, and has fewer than 256 jobs.
            if let Some(job) = unsafe { self.queue.submit(job) } {
                note(job);
            }
        }
        while let Some(job) = self.queue.flush() {
            note(job);
        }
    }
}

impl Aead for IpsecMb {
    fn name(&self) -> &'static str {
        "ipsec-mb"
    }

    fn seal(&mut self, key: &TransportKey, buffer: &mut [u8], slots: &[Slot]) {
        for slots in slots.chunks(JOBS_A_ROUND) {
            let mut sealed = 0;
            self.run_round(Direction::Encrypt, key, buffer, slots, |_| sealed += 1);
            // What is in the buffer now may be plaintext; there is no verdict for that but to stop.
            assert_eq!(sealed, slots.len(), "IPsec-MB did not complete a job");
        }
    }

    fn open(&mut self, key: &TransportKey, buffer: &mut [u8], slots: &[Slot], opened: &mut [bool]) {
        assert_eq!(slots.len(), opened.len(), "one verdict a slot");
        for (slots, opened) in slots.chunks(JOBS_A_ROUND).zip(opened.chunks_mut(JOBS_A_ROUND)) {
            opened.fill(false);
            self.run_round(Direction::Decrypt, key, buffer, slots, |index| opened[index] = true);
            for ((slot, computed), opened) in slots.iter().zip(&self.tags).zip(opened) {
                let end = slot.offset as usize + slot.length as usize;
                *opened &= same_tag(computed, &buffer[end..end + TAG_LENGTH]);
            }
        }
    }
}

/// In constant time; as one number, which costs 30 ns less than byte by byte.
fn same_tag(computed: &[u8; TAG_LENGTH], received: &[u8]) -> bool {
    let received = received.try_into().expect("a tag has 16 bytes");
    u128::from_ne_bytes(*computed).ct_eq(&u128::from_ne_bytes(received)).into()
}

/// A job over `text`, in place; comes back with `user_data` in it.
#[expect(clippy::too_many_arguments, reason = "the fields of one struct, named once")]
fn chacha20_poly1305(
    direction: Direction,
    key: &TransportKey,
    nonce: *const u8,
    associated: &[u8],
    text: *mut u8,
    length: usize,
    tag: *mut u8,
    user_data: usize,
) -> Job {
    let key: *const c_void = key.as_ptr().cast();
    Job {
        enc_keys: key,
        dec_keys: key,
        key_len_in_bytes: 32,
        src: text,
        dst: text,
        cipher_start_src_offset_in_bytes: 0,
        msg_len_to_cipher_in_bytes: length as u64,
        hash_start_src_offset_in_bytes: 0,
        msg_len_to_hash_in_bytes: length as u64,
        iv: nonce,
        iv_len_in_bytes: NONCE_LENGTH as u64,
        auth_tag_output: tag,
        auth_tag_output_len_in_bytes: TAG_LENGTH as u64,
        aad: associated.as_ptr(),
        aad_len_in_bytes: associated.len() as u64,
        sgl_context: null_mut(),
        status: 0,
        cipher_mode: CIPHER_CHACHA20_POLY1305,
        cipher_direction: direction,
        hash_alg: AUTH_CHACHA20_POLY1305,
        chain_order: match direction {
            Direction::Encrypt => ChainOrder::CipherThenHash,
            Direction::Decrypt => ChainOrder::HashThenCipher,
        },
        user_data: user_data as *mut c_void,
        user_data2: null_mut(),
        cipher_func: null_mut(),
        hash_func: null_mut(),
        sgl_state: 0,
        cipher_fields: null_mut(),
    }
}
