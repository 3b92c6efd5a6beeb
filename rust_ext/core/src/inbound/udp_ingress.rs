//! udp_ingress: what the socket gave becomes runs of datagrams of one session.
//!
//! In: received buffers, each one datagram or several of one length (UDP_GRO). Out: runs of data
//! messages, handshake messages for control. Drops: what is no message of ours, what was cut by
//! the kernel, messages without a session. Order: a run ends where the session changes, so runs
//! are opened in the order of arrival.

use std::{collections::HashMap, hash::BuildHasherDefault};

use crate::wireguard::index_hasher::IndexHasher;
use crate::{
    aead::{Slot, TAG_LENGTH},
    counters::DatagramTally,
    drop_reason::DatagramDrop,
    frame::Slice,
    packet::message_header::{Class, DATA_HEADER_LENGTH, classify},
    wireguard::path::Path,
};

/// One buffer's worth from the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// First byte in the receive buffer.
    pub offset: u32,
    /// Bytes of all its datagrams.
    pub length: u32,
    /// Length of each datagram but a shorter last one.
    pub segment_size: u32,
    /// Who sent it, and which of our addresses it was sent to, as the way back.
    pub from: Path,
    /// The outer DS byte.
    pub ds: u8,
    /// The kernel cut it: it was longer than the buffer.
    pub truncated: bool,
    /// How long it waited in the socket, nanoseconds; 0 where the kernel does not say.
    pub waited_ns: u64,
}

/// A handshake message for control.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handshake {
    /// Where it lies in the receive buffer.
    pub bytes: Slice,
    /// Who sent it.
    pub from: Path,
}

/// One data message of a run: where its text is, and which buffer it came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Its ciphertext and counter.
    pub slot: Slot,
    /// Bytes of the whole datagram.
    pub datagram_length: u32,
    /// Index of its [`Received`].
    pub received: u32,
}

/// Finds sessions by receiver index. We draw the indices at random, so they are their own hash and
/// no stranger can choose what is in the table.
pub type Sessions<T> = HashMap<u32, T, BuildHasherDefault<IndexHasher>>;

/// Sorts one drain: calls `run` for each run of data messages with the same receiver index, in the
/// order of arrival. `arrivals` is room that is used again.
pub fn classify_drain(
    received: &[Received],
    buffer: &mut [u8],
    arrivals: &mut Vec<Arrival>,
    handshakes: &mut Vec<Handshake>,
    tally: &mut DatagramTally,
    mut run: impl FnMut(u32, &[Arrival], &mut [u8], &mut DatagramTally),
) {
    let mut current = None;
    arrivals.clear();
    for (number, from) in received.iter().enumerate() {
        let step = from.segment_size.clamp(1, from.length.max(1));
        let end = from.offset + from.length;
        for offset in (from.offset..end.max(from.offset + 1)).step_by(step as usize) {
            let length = step.min(end - offset);
            tally.received += 1;
            if from.truncated {
                tally.drop(DatagramDrop::Truncated, 1);
                continue;
            }
            let bytes = Slice { offset, length };
            match classify(&buffer[offset as usize..(offset + length) as usize]) {
                Class::Data { index, counter } => {
                    if current != Some(index) {
                        if let Some(index) = current {
                            run(index, arrivals, buffer, tally);
                        }
                        arrivals.clear();
                        current = Some(index);
                    }
                    let slot = Slot {
                        offset: offset + DATA_HEADER_LENGTH as u32,
                        length: length - (DATA_HEADER_LENGTH + TAG_LENGTH) as u32,
                        counter,
                    };
                    arrivals.push(Arrival {
                        slot,
                        datagram_length: length,
                        received: number as u32,
                    });
                }
                Class::Initiation | Class::Response => {
                    tally.handshakes += 1;
                    handshakes.push(Handshake { bytes, from: from.from });
                }
                Class::Cookie => {
                    tally.cookies += 1;
                    handshakes.push(Handshake { bytes, from: from.from });
                }
                // No handler for these is registered yet.
                Class::Stun | Class::TurnChannel | Class::Unknown => {
                    tally.drop(DatagramDrop::Unknown, 1);
                }
            }
        }
    }
    if let Some(index) = current {
        run(index, arrivals, buffer, tally);
    }
}
