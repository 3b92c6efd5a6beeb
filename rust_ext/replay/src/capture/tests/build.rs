//! Captures built by hand, in either byte order.

use std::io::{self, Read};

use super::super::{Capture, CaptureError, record::ByteOrder};

pub(super) const LITTLE: ByteOrder = ByteOrder::Little;
pub(super) const BIG: ByteOrder = ByteOrder::Big;

pub(super) fn long(order: ByteOrder, value: u32) -> [u8; 4] {
    match order {
        LITTLE => value.to_le_bytes(),
        BIG => value.to_be_bytes(),
    }
}

pub(super) fn word(order: ByteOrder, value: u16) -> [u8; 2] {
    match order {
        LITTLE => value.to_le_bytes(),
        BIG => value.to_be_bytes(),
    }
}

pub(super) fn longs(order: ByteOrder, values: &[u32]) -> Vec<u8> {
    values.iter().flat_map(|value| long(order, *value)).collect()
}

/// The header of a pcap with microseconds.
pub(super) fn pcap(order: ByteOrder, snap_length: u32, link: u32) -> Vec<u8> {
    pcap_of(order, 0xa1b2_c3d4, snap_length, link)
}

pub(super) fn pcap_of(order: ByteOrder, magic: u32, snap_length: u32, link: u32) -> Vec<u8> {
    let version = [word(order, 2), word(order, 4)].concat();
    [long(order, magic).to_vec(), version, longs(order, &[0, 0, snap_length, link])].concat()
}

/// A record of a pcap that holds all of its frame.
pub(super) fn record(order: ByteOrder, time: (u32, u32), frame: &[u8]) -> Vec<u8> {
    let length = frame.len() as u32;
    [longs(order, &[time.0, time.1, length, length]), frame.to_vec()].concat()
}

pub(super) fn padded(bytes: &[u8]) -> Vec<u8> {
    let mut padded = bytes.to_vec();
    padded.resize(bytes.len().next_multiple_of(4), 0);
    padded
}

pub(super) fn block(order: ByteOrder, kind: u32, body: &[u8]) -> Vec<u8> {
    let length = long(order, body.len() as u32 + 12);
    [&long(order, kind)[..], &length, body, &length].concat()
}

pub(super) fn section(order: ByteOrder) -> Vec<u8> {
    let version = [word(order, 1), word(order, 0)].concat();
    let body = [long(order, 0x1a2b_3c4d).to_vec(), version, vec![0xff; 8]].concat();
    block(order, 0x0a0d_0d0a, &body)
}

pub(super) fn option(order: ByteOrder, code: u16, value: &[u8]) -> Vec<u8> {
    let head = [word(order, code), word(order, value.len() as u16)].concat();
    [head, padded(value)].concat()
}

/// An interface with these options, which are not ended.
pub(super) fn interface(order: ByteOrder, link: u16, snap_length: u32, options: &[u8]) -> Vec<u8> {
    let head = [word(order, link), [0, 0]].concat();
    block(order, 1, &[head, long(order, snap_length).to_vec(), options.to_vec()].concat())
}

/// An enhanced packet block that holds all of its frame.
pub(super) fn packet(order: ByteOrder, interface: u32, stamp: u64, frame: &[u8]) -> Vec<u8> {
    let (high, low, length) = ((stamp >> 32) as u32, stamp as u32, frame.len() as u32);
    let head = longs(order, &[interface, high, low, length, length]);
    block(order, 6, &[head, padded(frame)].concat())
}

/// An IPv4 packet of that many bytes.
pub(super) fn ipv4(length: u16) -> Vec<u8> {
    let mut bytes = vec![0; usize::from(length)];
    bytes[0] = 0x45;
    bytes[2..4].copy_from_slice(&length.to_be_bytes());
    bytes[9] = 17;
    bytes
}

/// An IPv6 packet of that many bytes.
pub(super) fn ipv6(length: u16) -> Vec<u8> {
    let mut bytes = vec![0; usize::from(length)];
    bytes[0] = 0x60;
    bytes[4..6].copy_from_slice(&(length - 40).to_be_bytes());
    bytes[6] = 17;
    bytes
}

/// A packet as it was given, on its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Given {
    pub(super) number: u64,
    pub(super) time_ns: u64,
    pub(super) interface: u32,
    pub(super) bytes: Vec<u8>,
    pub(super) cut: bool,
}

/// All packets, and the error after them.
pub(super) fn read(capture: &[u8]) -> (Vec<Given>, Option<CaptureError>) {
    match Capture::from_reader(io::Cursor::new(capture.to_vec())) {
        Ok(capture) => drain(capture).0,
        Err(error) => (Vec::new(), Some(error)),
    }
}

/// All packets of a capture that is sound.
pub(super) fn packets(capture: &[u8]) -> Vec<Given> {
    let (given, error) = read(capture);
    assert_eq!(error, None);
    given
}

/// The packets before an error, and the error.
pub(super) fn failing(capture: &[u8]) -> (usize, CaptureError) {
    let (given, error) = read(capture);
    (given.len(), error.expect("the capture is not sound"))
}

pub(super) fn drain(mut capture: Capture) -> ((Vec<Given>, Option<CaptureError>), Capture) {
    let mut given = Vec::new();
    let error = loop {
        match capture.next() {
            Ok(Some(packet)) => given.push(Given {
                number: packet.number,
                time_ns: packet.time_ns,
                interface: packet.interface,
                bytes: packet.bytes.to_vec(),
                cut: packet.cut,
            }),
            Ok(None) => break None,
            Err(error) => break Some(error),
        }
    };
    ((given, error), capture)
}

/// A reader that gives so many bytes at once, as a slow pipe does.
pub(super) struct Pieces(pub(super) Vec<u8>, pub(super) usize);

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.1.min(self.0.len()).min(buffer.len());
        buffer[..count].copy_from_slice(&self.0[..count]);
        self.0.drain(..count);
        Ok(count)
    }
}
