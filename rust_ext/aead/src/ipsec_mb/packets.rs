//! Packets of one key, many a call: how IPsec-MB 2.0 is called, by what it made for QUIC.
//!
//! In: packets of one key. Out: the same, done. At 1420 B a packet costs 20 ns less than as a job of
//! that version, and the layout of jobs has not to be known.

use std::ffi::c_void;

use arrayvec::ArrayVec;

use super::layout::{Direction, Head};
use super::manager::Manager;
use super::{PACKETS_A_ROUND, Round};

/// `imb_quic_chacha20_poly1305` of 2.0: state, key, direction; of each packet destination, source,
/// length, nonce and associated data; the length of the latter; tags; how many packets.
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

/// What the call takes: a field of every packet.
type Column<T> = ArrayVec<T, PACKETS_A_ROUND>;

/// A manager, and the function.
#[derive(Debug)]
pub(super) struct PacketCalls {
    call: Call,
    manager: Manager,
}

impl PacketCalls {
    /// The manager is of a version with this interface.
    pub(super) fn new(manager: Manager) -> Result<Self, String> {
        // SAFETY: the signature in every header verified for this interface; the library is held by
        // the manager, beside the function.
        let call = unsafe { manager.library().function(c"imb_quic_chacha20_poly1305")? };
        Ok(Self { call, manager })
    }

    /// Seals or opens the packets, in place; gives how many were completed, all or none.
    ///
    /// # Safety
    /// What the packets point to is valid for their lengths and touched by nobody else.
    pub(super) unsafe fn run(&mut self, round: Round<'_>) -> usize {
        let Round { direction, key, associated, packets } = round;
        let texts: Column<*mut u8> = packets.iter().map(|packet| packet.text).collect();
        let lengths: Column<u64> = packets.iter().map(|packet| packet.length as u64).collect();
        let nonces: Column<*const u8> = packets.iter().map(|packet| packet.nonce).collect();
        let aads: Column<*const u8> = packets.iter().map(|_| associated.as_ptr()).collect();
        let tags: Column<*mut u8> = packets.iter().map(|packet| packet.tag).collect();
        // SAFETY: each column has a row for each packet, the caller vouches for what they point to;
        // the manager is set up.
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
        // It returns nothing; arguments that it does not take it notes as an error, and does nothing.
        // imb_get_errno would tell another manager's error where this one has none.
        if self.manager.head().imb_errno == 0 { packets.len() } else { 0 }
    }
}
