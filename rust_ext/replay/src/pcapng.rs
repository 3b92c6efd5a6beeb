//! Writing pcapng (draft-ietf-opsawg-pcapng): several interfaces in one file, each packet with its
//! number, its direction and a comment, and key logs that let Wireshark open what is sealed.
//!
//! In: packets in the order in which they are to stand. Out: blocks, each in one write; wrap what
//! they go to in a buffer. The same packets give the same bytes, wherever and whenever: neither the
//! machine nor the time of writing is named.

use std::io::{self, Write};

use crate::capture::{LinkType, SECRETS_WIREGUARD};

/// Block types (section 11.1).
const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
const ENHANCED_PACKET: u32 = 6;
const DECRYPTION_SECRETS: u32 = 10;

/// Section 4.1.
const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;
const VERSION: [u16; 2] = [1, 0];
const SECTION_LENGTH_UNKNOWN: u64 = u64::MAX;

/// Options of all blocks, of the section header, of interfaces and of packets (sections 3.5, 4.1,
/// 4.2, 4.3).
const OPTION_END: u16 = 0;
const OPTION_COMMENT: u16 = 1;
const SECTION_APPLICATION: u16 = 4;
const INTERFACE_NAME: u16 = 2;
const INTERFACE_TIME_RESOLUTION: u16 = 9;
const PACKET_FLAGS: u16 = 2;
const PACKET_ID: u16 = 5;

/// Time is counted in 10^-9 s.
const NANOSECONDS: u8 = 9;
/// Section 4.3.1, the two lowest bits of the flags.
const INBOUND: u32 = 1;
const OUTBOUND: u32 = 2;

/// A capture that is being written.
pub struct PcapngWriter<W: Write> {
    output: W,
    block: Vec<u8>,
}

impl<W: Write> PcapngWriter<W> {
    /// Writes what comes before the packets: the interfaces, numbered from 0, and the first keys.
    pub fn new(
        output: W,
        interfaces: &[(&str, LinkType)],
        secrets: Option<&str>,
    ) -> io::Result<Self> {
        let mut writer = Self { output, block: Vec::new() };
        writer.section()?;
        for (name, link) in interfaces {
            writer.interface(name, *link)?;
        }
        if let Some(text) = secrets {
            writer.secrets(text)?;
        }
        Ok(writer)
    }

    /// Writes a key log, in the words of Wireshark's wg.keylog_file. It opens what comes after it.
    pub fn secrets(&mut self, text: &str) -> io::Result<()> {
        self.start(DECRYPTION_SECRETS);
        self.long(SECRETS_WIREGUARD);
        self.long(length_of(text.as_bytes())?);
        self.padded(text.as_bytes());
        self.end()
    }

    /// Writes a packet of an interface. The same `id` on two interfaces says that it is the same
    /// packet on both sides of the cipher.
    pub fn packet(
        &mut self,
        interface: u32,
        time_ns: u64,
        bytes: &[u8],
        id: u64,
        inbound: bool,
        comment: Option<&str>,
    ) -> io::Result<()> {
        self.cut_packet(interface, time_ns, bytes, bytes.len(), id, inbound, comment)
    }

    /// The same for the beginning of a packet that has `whole` bytes.
    #[allow(clippy::too_many_arguments, reason = "the fields of a block")]
    pub fn cut_packet(
        &mut self,
        interface: u32,
        time_ns: u64,
        bytes: &[u8],
        whole: usize,
        id: u64,
        inbound: bool,
        comment: Option<&str>,
    ) -> io::Result<()> {
        let length = length_of(bytes)?;
        self.start(ENHANCED_PACKET);
        self.long(interface);
        self.long((time_ns >> 32) as u32);
        self.long(time_ns as u32);
        self.long(length);
        self.long(u32::try_from(whole).unwrap_or(u32::MAX));
        self.padded(bytes);
        if let Some(comment) = comment {
            self.text_option(OPTION_COMMENT, comment);
        }
        let direction = if inbound { INBOUND } else { OUTBOUND };
        self.option(PACKET_FLAGS, &direction.to_le_bytes());
        self.option(PACKET_ID, &id.to_le_bytes());
        self.option(OPTION_END, &[]);
        self.end()
    }

    /// Passes on what was written so far.
    pub fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }

    /// Hands back what was written to, flushed.
    pub fn finish(mut self) -> io::Result<W> {
        self.output.flush()?;
        Ok(self.output)
    }

    fn section(&mut self) -> io::Result<()> {
        self.start(SECTION_HEADER);
        self.long(BYTE_ORDER_MAGIC);
        for part in VERSION {
            self.block.extend_from_slice(&part.to_le_bytes());
        }
        self.block.extend_from_slice(&SECTION_LENGTH_UNKNOWN.to_le_bytes());
        self.text_option(SECTION_APPLICATION, concat!("pyfw ", env!("CARGO_PKG_VERSION")));
        self.option(OPTION_END, &[]);
        self.end()
    }

    fn interface(&mut self, name: &str, link: LinkType) -> io::Result<()> {
        self.start(INTERFACE_DESCRIPTION);
        // The link type, and two reserved bytes.
        self.long(u32::from(link.number()));
        // No snap length: packets are whole.
        self.long(0);
        self.text_option(INTERFACE_NAME, name);
        self.option(INTERFACE_TIME_RESOLUTION, &[NANOSECONDS]);
        self.option(OPTION_END, &[]);
        self.end()
    }

    fn start(&mut self, kind: u32) {
        self.block.clear();
        self.long(kind);
        // The length comes here in the end.
        self.long(0);
    }

    fn end(&mut self) -> io::Result<()> {
        let length = length_of(&self.block)? + 4;
        self.block[4..8].copy_from_slice(&length.to_le_bytes());
        self.long(length);
        self.output.write_all(&self.block)
    }

    fn long(&mut self, value: u32) {
        self.block.extend_from_slice(&value.to_le_bytes());
    }

    fn padded(&mut self, bytes: &[u8]) {
        self.block.extend_from_slice(bytes);
        self.block.resize(self.block.len().next_multiple_of(4), 0);
    }

    /// An option's length has 16 bits; a longer text loses its end.
    fn text_option(&mut self, code: u16, text: &str) {
        let mut end = text.len().min(usize::from(u16::MAX));
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        self.option(code, &text.as_bytes()[..end]);
    }

    fn option(&mut self, code: u16, value: &[u8]) {
        self.block.extend_from_slice(&code.to_le_bytes());
        // Not more than 16 bits have come here.
        self.block.extend_from_slice(&(value.len() as u16).to_le_bytes());
        self.padded(value);
    }
}

fn length_of(bytes: &[u8]) -> io::Result<u32> {
    u32::try_from(bytes.len()).map_err(|_| {
        io::Error::new(io::ErrorKind::InvalidInput, "a pcapng block is at most 4 GiB long")
    })
}

#[cfg(test)]
mod tests;
