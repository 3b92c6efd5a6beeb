//! Writes pcapng (draft-ietf-opsawg-pcapng): several interfaces, packets with an ID, a direction and a
//! comment, and key logs for Wireshark.
//!
//! Each block is one write, so the output should be buffered. Equal packets give equal bytes: the file names
//! neither the machine nor the time of writing.

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

/// Option codes (sections 3.5, 4.1, 4.2 and 4.3).
const OPTION_END: u16 = 0;
const OPTION_COMMENT: u16 = 1;
const SECTION_APPLICATION: u16 = 4;
const INTERFACE_NAME: u16 = 2;
const INTERFACE_TIME_RESOLUTION: u16 = 9;
const PACKET_FLAGS: u16 = 2;
const PACKET_ID: u16 = 5;

/// if_tsresol: 10^-9 s.
const NANOSECONDS: u8 = 9;
/// Section 4.3.1, the two lowest bits of the flags.
const INBOUND: u32 = 1;
const OUTBOUND: u32 = 2;

/// A pcapng file being written.
pub struct PcapngWriter<W: Write> {
    output: W,
    block: Vec<u8>,
}

impl<W: Write> PcapngWriter<W> {
    /// Writes the section header, the interfaces, which are numbered from 0, and a first key log.
    pub fn new(
        output: W,
        interfaces: &[(&str, LinkType)],
        secrets: Option<&str>,
    ) -> io::Result<Self> {
        let mut writer = Self { output, block: Vec::new() };
        writer.section_header()?;
        for (name, link) in interfaces {
            writer.interface(name, *link)?;
        }
        if let Some(text) = secrets {
            writer.secrets(text)?;
        }
        Ok(writer)
    }

    /// Writes a key log in the format of Wireshark's wg.keylog_file. It must precede the packets that it
    /// decrypts.
    pub fn secrets(&mut self, text: &str) -> io::Result<()> {
        self.start(DECRYPTION_SECRETS);
        self.u32(SECRETS_WIREGUARD);
        self.u32(length_of(text.as_bytes())?);
        self.padded(text.as_bytes());
        self.end()
    }

    /// Writes a packet of an interface. An inner packet and the datagram that carries it share an `id`.
    pub fn packet(
        &mut self,
        interface: u32,
        time_ns: u64,
        bytes: &[u8],
        id: u64,
        inbound: bool,
        comment: Option<&str>,
    ) -> io::Result<()> {
        self.truncated_packet(interface, time_ns, bytes, bytes.len(), id, inbound, comment)
    }

    /// Writes a packet of `original_length` bytes, of which `bytes` are the first.
    #[allow(clippy::too_many_arguments, reason = "the fields of a block")]
    pub fn truncated_packet(
        &mut self,
        interface: u32,
        time_ns: u64,
        bytes: &[u8],
        original_length: usize,
        id: u64,
        inbound: bool,
        comment: Option<&str>,
    ) -> io::Result<()> {
        let length = length_of(bytes)?;
        self.start(ENHANCED_PACKET);
        self.u32(interface);
        self.u32((time_ns >> 32) as u32);
        self.u32(time_ns as u32);
        self.u32(length);
        self.u32(u32::try_from(original_length).unwrap_or(u32::MAX));
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

    /// Flushes the output.
    pub fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }

    /// Flushes and returns the output.
    pub fn finish(mut self) -> io::Result<W> {
        self.output.flush()?;
        Ok(self.output)
    }

    fn section_header(&mut self) -> io::Result<()> {
        self.start(SECTION_HEADER);
        self.u32(BYTE_ORDER_MAGIC);
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
        self.u32(u32::from(link.number()));
        // No snap length.
        self.u32(0);
        self.text_option(INTERFACE_NAME, name);
        self.option(INTERFACE_TIME_RESOLUTION, &[NANOSECONDS]);
        self.option(OPTION_END, &[]);
        self.end()
    }

    fn start(&mut self, kind: u32) {
        self.block.clear();
        self.u32(kind);
        // The length; `end` fills it in.
        self.u32(0);
    }

    fn end(&mut self) -> io::Result<()> {
        let length = length_of(&self.block)? + 4;
        self.block[4..8].copy_from_slice(&length.to_le_bytes());
        self.u32(length);
        self.output.write_all(&self.block)
    }

    fn u32(&mut self, value: u32) {
        self.block.extend_from_slice(&value.to_le_bytes());
    }

    fn padded(&mut self, bytes: &[u8]) {
        self.block.extend_from_slice(bytes);
        self.block.resize(self.block.len().next_multiple_of(4), 0);
    }

    /// Writes a text, truncated to the 65,535 bytes of an option.
    fn text_option(&mut self, code: u16, text: &str) {
        let mut end = text.len().min(usize::from(u16::MAX));
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        self.option(code, &text.as_bytes()[..end]);
    }

    fn option(&mut self, code: u16, value: &[u8]) {
        self.block.extend_from_slice(&code.to_le_bytes());
        // `text_option` limits the length; other values are short.
        self.block.extend_from_slice(&(value.len() as u16).to_le_bytes());
        self.padded(value);
    }
}

fn length_of(bytes: &[u8]) -> io::Result<u32> {
    u32::try_from(bytes.len()).map_err(|_| {
        io::Error::new(io::ErrorKind::InvalidInput, "a pcapng block cannot exceed 4 GiB")
    })
}

#[cfg(test)]
mod tests;
