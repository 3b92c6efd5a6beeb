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
    /// Bytes of the whole datagram.
    pub datagram_length: u32,
    /// Index of its [`Received`].
    pub received: u32,
}

/// Consecutive data messages of one session.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    /// The session's index.
    pub receiver_index: u32,
    /// The messages in order of arrival.
    pub messages: &'a [DataMessage],
}

/// The stage, with the data messages of the last drain.
#[derive(Debug, Default)]
pub struct UdpIngress {
    messages: Vec<DataMessage>,
    /// The receiver index of each run, and its end in `messages`.
    runs: Vec<(u32, usize)>,
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
        self.runs.clear();
        let mut current = None;
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
                            self.end_run(current);
                            current = Some(index);
                        }
                        let slot = Slot {
                            offset: offset + DATA_HEADER_LENGTH as u32,
                            length: length - (DATA_HEADER_LENGTH + TAG_LENGTH) as u32,
                            counter,
                        };
                        let received = number as u32;
                        self.messages.push(DataMessage { slot, datagram_length: length, received });
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
        self.end_run(current);
    }

    fn end_run(&mut self, receiver_index: Option<u32>) {
        self.runs.extend(receiver_index.map(|index| (index, self.messages.len())));
    }

    /// The runs of the last drain, in order of arrival.
    pub fn runs(&self) -> impl Iterator<Item = Run<'_>> {
        let mut start = 0;
        self.runs.iter().map(move |&(receiver_index, end)| {
            let messages = &self.messages[start..end];
            start = end;
            Run { receiver_index, messages }
        })
    }
}
