//! Builds captures in either byte order.

use std::io::{self, Read};

use super::super::{Capture, CaptureError, record::ByteOrder};

pub(super) const LITTLE: ByteOrder = ByteOrder::Little;
pub(super) const BIG: ByteOrder = ByteOrder::Big;

pub(super) fn u32_bytes(order: ByteOrder, value: u32) -> [u8; 4] {
    match order {
        LITTLE => value.to_le_bytes(),
        BIG => value.to_be_bytes(),
    }
}

pub(super) fn u16_bytes(order: ByteOrder, value: u16) -> [u8; 2] {
    match order {
        LITTLE => value.to_le_bytes(),
        BIG => value.to_be_bytes(),
    }
}

pub(super) fn u32s(order: ByteOrder, values: &[u32]) -> Vec<u8> {
    values.iter().flat_map(|value| u32_bytes(order, *value)).collect()
}

/// Returns the header of a pcap with microseconds.
pub(super) fn pcap(order: ByteOrder, snap_length: u32, link: u32) -> Vec<u8> {
    pcap_of(order, 0xa1b2_c3d4, snap_length, link)
}

pub(super) fn pcap_of(order: ByteOrder, magic: u32, snap_length: u32, link: u32) -> Vec<u8> {
    let version = [u16_bytes(order, 2), u16_bytes(order, 4)].concat();
    [u32_bytes(order, magic).to_vec(), version, u32s(order, &[0, 0, snap_length, link])].concat()
}

/// Returns a pcap record with a complete frame.
pub(super) fn record(order: ByteOrder, time: (u32, u32), frame: &[u8]) -> Vec<u8> {
    let length = frame.len() as u32;
    [u32s(order, &[time.0, time.1, length, length]), frame.to_vec()].concat()
}

pub(super) fn padded(bytes: &[u8]) -> Vec<u8> {
    let mut padded = bytes.to_vec();
    padded.resize(bytes.len().next_multiple_of(4), 0);
    padded
}

pub(super) fn block(order: ByteOrder, kind: u32, body: &[u8]) -> Vec<u8> {
    let length = u32_bytes(order, body.len() as u32 + 12);
    [&u32_bytes(order, kind)[..], &length, body, &length].concat()
}

pub(super) fn section(order: ByteOrder) -> Vec<u8> {
    let version = [u16_bytes(order, 1), u16_bytes(order, 0)].concat();
    let body = [u32_bytes(order, 0x1a2b_3c4d).to_vec(), version, vec![0xff; 8]].concat();
    block(order, 0x0a0d_0d0a, &body)
}

pub(super) fn option(order: ByteOrder, code: u16, value: &[u8]) -> Vec<u8> {
    let head = [u16_bytes(order, code), u16_bytes(order, value.len() as u16)].concat();
    [head, padded(value)].concat()
}

/// Returns an interface description with these options, without an end-of-options option.
pub(super) fn interface(order: ByteOrder, link: u16, snap_length: u32, options: &[u8]) -> Vec<u8> {
    let head = [u16_bytes(order, link), [0, 0]].concat();
    block(order, 1, &[head, u32_bytes(order, snap_length).to_vec(), options.to_vec()].concat())
}

/// Returns an enhanced packet block with a complete frame.
pub(super) fn packet(order: ByteOrder, interface: u32, stamp: u64, frame: &[u8]) -> Vec<u8> {
    let (high, low, length) = ((stamp >> 32) as u32, stamp as u32, frame.len() as u32);
    let head = u32s(order, &[interface, high, low, length, length]);
    block(order, 6, &[head, padded(frame)].concat())
}

/// Returns an IPv4 packet of `length` bytes.
pub(super) fn ipv4(length: u16) -> Vec<u8> {
    let mut bytes = vec![0; usize::from(length)];
    bytes[0] = 0x45;
    bytes[2..4].copy_from_slice(&length.to_be_bytes());
    bytes[9] = 17;
    bytes
}

/// Returns an IPv6 packet of `length` bytes.
pub(super) fn ipv6(length: u16) -> Vec<u8> {
    let mut bytes = vec![0; usize::from(length)];
    bytes[0] = 0x60;
    bytes[4..6].copy_from_slice(&(length - 40).to_be_bytes());
    bytes[6] = 17;
    bytes
}

/// An owned copy of a captured packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OwnedPacket {
    pub(super) number: u64,
    pub(super) time_ns: u64,
    pub(super) interface: u32,
    pub(super) bytes: Vec<u8>,
    pub(super) is_truncated: bool,
}

/// Reads all packets, and the error after them.
pub(super) fn read(capture: &[u8]) -> (Vec<OwnedPacket>, Option<CaptureError>) {
    match Capture::from_reader(io::Cursor::new(capture.to_vec())) {
        Ok(capture) => drain(capture).0,
        Err(error) => (Vec::new(), Some(error)),
    }
}

/// Reads all packets of a valid capture.
pub(super) fn packets(capture: &[u8]) -> Vec<OwnedPacket> {
    let (got, error) = read(capture);
    assert_eq!(error, None);
    got
}

/// Reads an invalid capture; returns the number of packets before the error, and the error.
pub(super) fn failing(capture: &[u8]) -> (usize, CaptureError) {
    let (got, error) = read(capture);
    (got.len(), error.expect("the capture is invalid"))
}

pub(super) fn drain(mut capture: Capture) -> ((Vec<OwnedPacket>, Option<CaptureError>), Capture) {
    let mut got = Vec::new();
    let error = loop {
        match capture.next() {
            Ok(Some(packet)) => got.push(OwnedPacket {
                number: packet.number,
                time_ns: packet.time_ns,
                interface: packet.interface,
                bytes: packet.bytes.to_vec(),
                is_truncated: packet.is_truncated,
            }),
            Ok(None) => break None,
            Err(error) => break Some(error),
        }
    };
    ((got, error), capture)
}

/// A reader that returns at most a given number of bytes per call, as a slow pipe does.
pub(super) struct ChunkedReader(pub(super) Vec<u8>, pub(super) usize);

impl Read for ChunkedReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.1.min(self.0.len()).min(buffer.len());
        buffer[..count].copy_from_slice(&self.0[..count]);
        self.0.drain(..count);
        Ok(count)
    }
}
