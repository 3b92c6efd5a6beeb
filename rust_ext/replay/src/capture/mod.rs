//! Reads captures: pcap and pcapng, plain or gzip, from a file or standard input.
//!
//! Returns IP packets in the order of the file, borrowed from a reused buffer. Frames whose link layer
//! carries another protocol are skipped and counted. Memory use does not grow with the capture.
//!
//! Times and packet bytes may be arbitrary. A capture that cannot be read further (invalid length, truncated
//! record, unknown link type) gives an error with its offset, after all packets before it.
//!
//! pcap-parser (0.17) is only the reference in the tests: it allocates a list of options per packet, keeps
//! seconds in 32 bits, needs each block in memory at once, and does not report the offset of an error.

mod compression;
mod link;
mod pcap;
mod pcapng;
mod record;
mod stream;

use std::{fmt, io, path::Path};

pub use self::link::LinkType;
use self::{compression::Source, pcap::Pcap, pcapng::Pcapng, record::Record, stream::Stream};
pub(crate) use self::{link::ip_length, pcapng::SECRETS_WIREGUARD};

/// One IP packet of a capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CapturedPacket<'a> {
    /// Number of its frame in the capture, from 1; skipped frames count too.
    pub number: u64,
    /// Nanoseconds since the Unix epoch, unchecked: they may go back.
    pub time_ns: u64,
    /// Index of its interface; always 0 in a pcap.
    pub interface: u32,
    /// Name of its interface, if the capture has one.
    pub interface_name: Option<&'a str>,
    /// The IP packet, without link-layer header and trailer.
    pub bytes: &'a [u8],
    /// Whether a snap length cut the packet off.
    pub is_truncated: bool,
    /// The [`Capture::secrets`] before this packet.
    pub secrets: &'a [String],
}

/// An open capture.
pub struct Capture {
    stream: Stream,
    source: Source,
    format: Format,
    number: u64,
    skipped: u64,
    failed: Option<CaptureError>,
}

enum Format {
    Pcap(Pcap),
    Pcapng(Pcapng),
}

impl Capture {
    /// Opens a file, or standard input for `-`.
    pub fn open(path: &Path) -> Result<Self, CaptureError> {
        let (source, reader) = Source::open(path).map_err(|error| io_error(0, &error))?;
        Self::read(source, reader)
    }

    /// Reads a capture from a reader.
    pub fn from_reader(reader: impl io::Read + Send + 'static) -> Result<Self, CaptureError> {
        let (source, reader) =
            Source::new(Box::new(reader), None).map_err(|error| io_error(0, &error))?;
        Self::read(source, reader)
    }

    fn read(source: Source, reader: compression::Reader) -> Result<Self, CaptureError> {
        let mut stream = Stream::new(reader);
        let format = if pcapng::is_pcapng(stream.peek(4)?) {
            Format::Pcapng(Pcapng::default())
        } else {
            Format::Pcap(Pcap::open(&mut stream)?)
        };
        Ok(Self { stream, source, format, number: 0, skipped: 0, failed: None })
    }

    /// Returns the next IP packet; `None` at the end. After an error, every further call returns the same
    /// error.
    #[allow(clippy::should_implement_trait, reason = "the packet borrows the reader")]
    pub fn next(&mut self) -> Result<Option<CapturedPacket<'_>>, CaptureError> {
        if let Some(failed) = &self.failed {
            return Err(failed.clone());
        }
        let (record, packet) = loop {
            let record = match self.next_record() {
                Ok(Some(record)) => record,
                Ok(None) => return Ok(None),
                Err(error) => {
                    self.failed = Some(error.clone());
                    return Err(error);
                }
            };
            self.number += 1;
            let frame = self.stream.slice(&record.bytes);
            match record.link.packet(frame) {
                Some(packet) => break (record, packet),
                None => self.skipped += 1,
            }
        };
        let frame = self.stream.slice(&record.bytes);
        Ok(Some(CapturedPacket {
            number: self.number,
            time_ns: record.time_ns,
            interface: record.interface,
            interface_name: self.interface_name(record.interface),
            bytes: &frame[packet.bytes],
            is_truncated: record.is_truncated && !packet.is_complete,
            secrets: self.secrets(),
        }))
    }

    /// Returns the number of frames skipped so far: ARP, LLDP and the like.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// Returns the WireGuard key logs read so far, one per secrets block.
    pub fn secrets(&self) -> &[String] {
        match &self.format {
            Format::Pcap(_) => &[],
            Format::Pcapng(pcapng) => pcapng.secrets(),
        }
    }

    pub(crate) fn interface_name(&self, interface: u32) -> Option<&str> {
        match &self.format {
            Format::Pcap(_) => None,
            Format::Pcapng(pcapng) => pcapng.interface_name(interface),
        }
    }

    /// Returns the bytes of the file read so far; of the compressed file for gzip.
    pub fn position(&self) -> u64 {
        self.source.position()
    }

    /// Returns the length of the file, if it is known.
    pub fn length(&self) -> Option<u64> {
        self.source.length()
    }

    fn next_record(&mut self) -> Result<Option<Record>, CaptureError> {
        match &mut self.format {
            Format::Pcap(pcap) => pcap.next(&mut self.stream),
            Format::Pcapng(pcapng) => pcapng.next(&mut self.stream),
        }
    }
}

/// Why a capture cannot be read any further.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaptureError {
    /// Offset in the capture, uncompressed.
    pub offset: u64,
    /// What is wrong, and what is expected.
    pub text: String,
}

impl fmt::Display for CaptureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "byte {}: {}", self.offset, self.text)
    }
}

impl std::error::Error for CaptureError {}

fn io_error(offset: u64, error: &io::Error) -> CaptureError {
    CaptureError { offset, text: error.to_string() }
}

#[cfg(test)]
mod tests;
