//! Reading captures: pcap and pcapng, plain or gzip, from a file or standard input.
//!
//! In: a path. Out: IP packets in the order of the file, each with its number, its time and its
//! bytes from the IP header on, lent from one buffer that is used again. Skips, and counts, frames
//! whose link layer says that they are not IP. Memory does not grow with the capture.
//!
//! What the capture says of a packet is data (any time, any bytes); what makes the rest unreadable
//! (a length that lies, a cut, an unknown link type) is an error with its offset, and everything
//! before it has been given.
//!
//! The records are walked here rather than by pcap-parser (0.17): it allocates a list of options a
//! packet, keeps seconds in 32 bits, wants a block of any size in memory at once, and says what is
//! wrong but not where. It is the judge in the tests instead.

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
pub struct Captured<'a> {
    /// The number of its frame in the capture, from 1; frames that were skipped count as well.
    pub number: u64,
    /// Nanoseconds since the Unix epoch, as the capture has them: they may go back, or be absurd.
    pub time_ns: u64,
    /// The interface it was captured on: always 0 in a pcap.
    pub interface: u32,
    /// What the capture calls that interface; none where it gives it no name.
    pub interface_name: Option<&'a str>,
    /// From the IP header on; what the link layer put before and behind is gone.
    pub bytes: &'a [u8],
    /// The capture holds only the beginning of it (a snap length).
    pub cut: bool,
    /// [`Capture::secrets`] as they stand with this packet: those that open it are among them.
    pub secrets: &'a [String],
}

/// A capture that is being read.
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
        let (source, reader) = Source::open(path).map_err(|error| unreadable(0, &error))?;
        Self::read(source, reader)
    }

    /// Reads a capture from anything else.
    pub fn from_reader(reader: impl io::Read + Send + 'static) -> Result<Self, CaptureError> {
        let (source, reader) =
            Source::of(Box::new(reader), None).map_err(|error| unreadable(0, &error))?;
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

    /// The next IP packet; none at the end. An error comes again with every further call.
    #[allow(clippy::should_implement_trait, reason = "what it gives is lent")]
    pub fn next(&mut self) -> Result<Option<Captured<'_>>, CaptureError> {
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
        Ok(Some(Captured {
            number: self.number,
            time_ns: record.time_ns,
            interface: record.interface,
            interface_name: self.interface_name(record.interface),
            bytes: &frame[packet.bytes],
            cut: record.cut && !packet.is_whole,
            secrets: self.secrets(),
        }))
    }

    /// Frames so far that were not IP: ARP, LLDP and the like.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// WireGuard key logs that the capture brought so far, a text a secrets block.
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

    /// Bytes of the file read so far (of the compressed file, where it is compressed).
    pub fn position(&self) -> u64 {
        self.source.position()
    }

    /// Bytes of the file; none where nobody knows.
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
    /// Where in the capture: of the uncompressed bytes, where it is compressed.
    pub offset: u64,
    /// What is wrong, and what would be right.
    pub text: String,
}

impl fmt::Display for CaptureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "byte {}: {}", self.offset, self.text)
    }
}

impl std::error::Error for CaptureError {}

/// What the machine refused, in its own words.
fn unreadable(offset: u64, error: &io::Error) -> CaptureError {
    CaptureError { offset, text: error.to_string() }
}

#[cfg(test)]
mod tests;
