//! The interface of IPsec-MB 2.0: many packets of one key per call, by a function made for QUIC.
//!
//! At 1420 B a packet costs 20 ns less than as a job of that version, and the layout of jobs does not matter.

use std::ffi::c_void;

use arrayvec::ArrayVec;

use super::layout::{Direction, Head};
use super::manager::Manager;
use super::{Chunk, PACKETS_PER_CHUNK};

/// `imb_quic_chacha20_poly1305` of 2.0: state, key, direction; destination, source, length, nonce and
/// associated data of each packet; length of the associated data; tags; number of packets.
type Call = unsafe extern "C" fn(
    *mut Head,
    *const c_void,
    Direction,
    *const *mut u8,
    *const *const u8,
    *const u64,
    *const *const u8,
    *const *const u8,
    u64,
    *const *mut u8,
    u64,
);

/// One argument of the call: a field of every packet.
type Column<T> = ArrayVec<T, PACKETS_PER_CHUNK>;

/// A manager and the function.
#[derive(Debug)]
pub(super) struct PacketCalls {
    call: Call,
    manager: Manager,
}

impl PacketCalls {
    /// Expects a manager of a version with this interface.
    pub(super) fn new(manager: Manager) -> Result<Self, String> {
        // SAFETY: the signature in every header verified for this interface; the manager beside the function
        // keeps the library loaded.
        let call = unsafe { manager.library().function(c"imb_quic_chacha20_poly1305")? };
        Ok(Self { call, manager })
    }

    /// Seals or opens the packets, and returns how many the library completed: all or none.
    ///
    /// # Safety
    /// All pointers of the packets are valid for their lengths and not used elsewhere during the call.
    pub(super) unsafe fn run(&mut self, chunk: Chunk<'_>) -> usize {
        let Chunk { direction, key, associated, packets } = chunk;
        let texts: Column<*mut u8> = packets.iter().map(|packet| packet.text).collect();
        let lengths: Column<u64> = packets.iter().map(|packet| packet.length as u64).collect();
        let nonces: Column<*const u8> = packets.iter().map(|packet| packet.nonce).collect();
        let aads: Column<*const u8> = packets.iter().map(|_| associated.as_ptr()).collect();
        let tags: Column<*mut u8> = packets.iter().map(|packet| packet.tag).collect();
        // SAFETY: each column has an entry per packet, and the caller guarantees their pointers; the manager
        // is set up.
        unsafe {
            (self.call)(
                self.manager.as_ptr(),
                key.as_ptr().cast(),
                direction,
                texts.as_ptr(),
                texts.as_ptr().cast(),
                lengths.as_ptr(),
                nonces.as_ptr(),
                aads.as_ptr(),
                associated.len() as u64,
                tags.as_ptr(),
                packets.len() as u64,
            );
        }
        // It returns nothing. Arguments that it rejects set the manager's error, and it does nothing.
        // imb_get_errno would return another manager's error if this one has none.
        if self.manager.head().imb_errno == 0 { packets.len() } else { 0 }
    }
}
