//! udp_ingress: sorts received datagrams into runs of data messages of one session, and handshake messages.
//!
//! In: received buffers, each with one datagram or several of one length (UDP_GRO). Out: runs of data
//! messages for decrypt; handshake messages for control. Drops: datagrams of no known type, and those that
//! the kernel truncated. Order: messages keep their order of arrival; a run ends where the session changes.

use crate::{
    aead::{Slot, TAG_LENGTH},
    counters::DatagramTally,
    drop_reason::DatagramDrop,
    frame::Slice,
    packet::message_header::{Class, DATA_HEADER_LENGTH, classify},
    wireguard::path::Path,
};

/// A buffer that the socket filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// First byte in the receive buffer.
    pub offset: u32,
    /// Bytes of all its datagrams.
    pub length: u32,
    /// Length of each datagram but a shorter last one.
    pub segment_size: u32,
    /// The sender, and the local address that it sent to: the path of an answer.
    pub from: Path,
    /// The outer DS byte.
    pub ds: u8,
    /// Whether the kernel truncated it: it was longer than the buffer.
    pub truncated: bool,
    /// How long it waited in the socket, nanoseconds; 0 if the kernel does not report it.
    pub waited_ns: u64,
}

/// A handshake message for control.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handshake {
    /// Its place in the receive buffer.
    pub bytes: Slice,
    /// The path of an answer.
    pub from: Path,
}

/// A data message in the receive buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataMessage {
    /// Its ciphertext and counter.
    pub slot: Slot,
    /// The index of its session.
    pub receiver_index: u32,
    /// Index of its [`Received`].
    pub received: u32,
}

/// The stage, with the data messages of the last drain.
#[derive(Debug, Default)]
pub struct UdpIngress {
    messages: Vec<DataMessage>,
}

impl UdpIngress {
    /// Sorts one drain. Data messages are kept for [`Self::runs`].
    pub fn process(
        &mut self,
        received: &[Received],
        buffer: &[u8],
        handshakes: &mut Vec<Handshake>,
        tally: &mut DatagramTally,
    ) {
        self.messages.clear();
        for (number, from) in received.iter().enumerate() {
            let step = from.segment_size.clamp(1, from.length.max(1));
            if from.truncated {
                let datagrams = from.length.max(1).div_ceil(step).into();
                tally.received += datagrams;
                tally.drop(DatagramDrop::Truncated, datagrams);
                continue;
            }
            let end = from.offset + from.length;
            for offset in (from.offset..end.max(from.offset + 1)).step_by(step as usize) {
                tally.received += 1;
                let length = step.min(end - offset);
                let bytes = Slice { offset, length };
                match classify(&buffer[offset as usize..(offset + length) as usize]) {
                    Class::Data { index: receiver_index, counter } => {
                        let slot = Slot {
                            offset: offset + DATA_HEADER_LENGTH as u32,
                            length: length - (DATA_HEADER_LENGTH + TAG_LENGTH) as u32,
                            counter,
                        };
                        let received = number as u32;
                        self.messages.push(DataMessage { slot, receiver_index, received });
                    }
                    Class::Initiation | Class::Response => {
                        tally.handshakes += 1;
                        handshakes.push(Handshake { bytes, from: from.from });
                    }
                    Class::Cookie => {
                        tally.cookies += 1;
                        handshakes.push(Handshake { bytes, from: from.from });
                    }
                    // STUN and TURN have no handler yet.
                    Class::Stun | Class::TurnChannel | Class::Unknown => {
                        tally.drop(DatagramDrop::Unknown, 1);
                    }
                }
            }
        }
    }

    /// The data messages of the last drain in order of arrival, in runs of one session.
    pub fn runs(&self) -> impl Iterator<Item = &[DataMessage]> {
        self.messages.chunk_by(|a, b| a.receiver_index == b.receiver_index)
    }
}
