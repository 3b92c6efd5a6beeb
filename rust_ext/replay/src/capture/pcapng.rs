//! The newer format (draft-ietf-opsawg-pcapng): sections of blocks.
//!
//! Each section has its own byte order and interfaces. Unknown blocks are skipped. The number of interfaces
//! and the size of all key logs are bounded.

mod block;
mod interface;

use self::{
    block::{Header, SECTION_HEADER},
    interface::Interface,
};
use super::{
    CaptureError,
    record::{ByteOrder, Record, check_lengths},
    stream::Stream,
};

/// Section 11.1: block types.
const INTERFACE_DESCRIPTION: u32 = 1;
const OLD_PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;
const DECRYPTION_SECRETS: u32 = 10;

const VERSION: u16 = 1;
/// Fixed fields of each block: sections 4.1, 4.3 and A.1, 4.4, 4.7.
const SECTION_FIELDS: usize = 16;
const PACKET_FIELDS: usize = 20;
const SIMPLE_PACKET_FIELDS: usize = 4;
const SECRETS_FIELDS: usize = 8;
/// Section 4.7, "WGKL".
pub(crate) const SECRETS_WIREGUARD: u32 = 0x5747_4b4c;

/// Longest body of a block that is read at once: a frame and its options.
const MAX_BODY_LENGTH: usize = 1024 * 1024;
/// Most bytes of key logs in a capture, enough for 60,000 handshakes.
const MAX_SECRETS_LENGTH: usize = 16 * 1024 * 1024;
const MAX_INTERFACES: usize = 65_536;

/// State of the current section, and the key logs so far.
#[derive(Default)]
pub(super) struct Pcapng {
    section: Option<ByteOrder>,
    interfaces: Vec<Interface>,
    secrets: Vec<String>,
    secrets_length: usize,
    /// Time of the last packet, for packets without a time.
    time_ns: u64,
}

/// Whether a capture that starts with `magic` is a pcapng.
pub(super) fn is_pcapng(magic: &[u8]) -> bool {
    magic == SECTION_HEADER.to_be_bytes()
}

impl Pcapng {
    /// Reads blocks up to the next packet.
    #[inline]
    pub(super) fn next(&mut self, stream: &mut Stream) -> Result<Option<Record>, CaptureError> {
        while let Some(header) = Header::peek(stream, self.section)? {
            match header.kind {
                ENHANCED_PACKET | OLD_PACKET => return self.packet(&header, stream).map(Some),
                SIMPLE_PACKET => return self.simple_packet(&header, stream).map(Some),
                SECTION_HEADER => self.start_section(&header, stream)?,
                INTERFACE_DESCRIPTION => self.add_interface(&header, stream)?,
                DECRYPTION_SECRETS => self.add_secrets(&header, stream)?,
                _ => header.skip(stream)?,
            }
        }
        Ok(None)
    }

    pub(super) fn secrets(&self) -> &[String] {
        &self.secrets
    }

    pub(super) fn interface_name(&self, interface: u32) -> Option<&str> {
        self.interfaces.get(interface as usize)?.name.as_deref()
    }

    fn start_section(&mut self, header: &Header, stream: &mut Stream) -> Result<(), CaptureError> {
        let body = header.take(SECTION_FIELDS, MAX_BODY_LENGTH, "a section header", stream)?;
        let version = header.order.u16_at(stream.slice(&body.bytes), 4);
        if version != VERSION {
            return Err(body
                .error(format!("pcapng version {version} is not supported; expected {VERSION}")));
        }
        self.section = Some(header.order);
        self.interfaces.clear();
        Ok(())
    }

    fn add_interface(&mut self, header: &Header, stream: &mut Stream) -> Result<(), CaptureError> {
        let what = "an interface description";
        let body = header.take(interface::FIELDS, MAX_BODY_LENGTH, what, stream)?;
        if self.interfaces.len() == MAX_INTERFACES {
            return Err(body.error(format!("more than {MAX_INTERFACES} interfaces")));
        }
        self.interfaces.push(Interface::parse(header.order, stream.slice(&body.bytes)));
        Ok(())
    }

    fn add_secrets(&mut self, header: &Header, stream: &mut Stream) -> Result<(), CaptureError> {
        let is_wireguard = |fields: &[u8]| {
            fields.len() == 12 && header.order.u32_at(fields, 8) == SECRETS_WIREGUARD
        };
        if !is_wireguard(stream.peek(12)?) {
            return header.skip(stream);
        }
        let limit = SECRETS_FIELDS + MAX_SECRETS_LENGTH - self.secrets_length;
        let body = header.take(SECRETS_FIELDS, limit, "a WireGuard secrets block", stream)?;
        let (fields, text) = stream.slice(&body.bytes).split_at(SECRETS_FIELDS);
        let length = header.order.u32_at(fields, 4) as usize;
        let Some(text) = text.get(..length) else {
            return Err(body.error(no_room("secrets block", length, text.len())));
        };
        self.secrets_length += length;
        self.secrets.push(String::from_utf8_lossy(text).into_owned());
        Ok(())
    }

    /// Reads an enhanced packet, or its predecessor, whose interface number has only 16 bits.
    #[inline]
    fn packet(&mut self, header: &Header, stream: &mut Stream) -> Result<Record, CaptureError> {
        let body = header.take(PACKET_FIELDS, MAX_BODY_LENGTH, "a packet block", stream)?;
        let (fields, frame) = stream.slice(&body.bytes).split_at(PACKET_FIELDS);
        let field = |at| header.order.u32_at(fields, at);
        let (stamp, captured, original) =
            (u64::from(field(4)) << 32 | u64::from(field(8)), field(12), field(16));
        let number = match header.kind {
            ENHANCED_PACKET => field(0),
            _ => u32::from(header.order.u16_at(fields, 0)),
        };
        let interface = self.interface(number).map_err(|text| body.error(text))?;
        let link = interface.link().map_err(|text| body.error(text))?;
        check_lengths(captured, original, interface.snap_length)
            .map_err(|text| body.error(text))?;
        if captured as usize > frame.len() {
            return Err(body.error(no_room("packet block", captured as usize, frame.len())));
        }
        self.time_ns = interface.time.ns(stamp);
        let start = body.bytes.start + PACKET_FIELDS;
        Ok(Record {
            interface: number,
            link,
            time_ns: self.time_ns,
            bytes: start..start + captured as usize,
            is_truncated: captured < original,
        })
    }

    /// Reads a simple packet: of the first interface, without a time.
    fn simple_packet(
        &mut self,
        header: &Header,
        stream: &mut Stream,
    ) -> Result<Record, CaptureError> {
        let body = header.take(SIMPLE_PACKET_FIELDS, MAX_BODY_LENGTH, "a packet block", stream)?;
        let interface = self.interface(0).map_err(|text| body.error(text))?;
        let link = interface.link().map_err(|text| body.error(text))?;
        let original = header.order.u32_at(stream.slice(&body.bytes), 0);
        // Section 4.4: only the snap length tells how many bytes were captured.
        let captured = match interface.snap_length {
            0 => original,
            snap_length => original.min(snap_length),
        };
        check_lengths(captured, original, 0).map_err(|text| body.error(text))?;
        let room = body.bytes.len() - SIMPLE_PACKET_FIELDS;
        if captured as usize > room {
            return Err(body.error(no_room("packet block", captured as usize, room)));
        }
        let start = body.bytes.start + SIMPLE_PACKET_FIELDS;
        Ok(Record {
            interface: 0,
            link,
            time_ns: self.time_ns,
            bytes: start..start + captured as usize,
            is_truncated: captured < original,
        })
    }

    #[inline]
    fn interface(&self, number: u32) -> Result<&Interface, String> {
        self.interfaces.get(number as usize).ok_or_else(|| {
            let known = self.interfaces.len();
            format!(
                "a packet of interface {number}, but the section describes only {known} before it"
            )
        })
    }
}

fn no_room(what: &str, length: usize, room: usize) -> String {
    format!("the {what} claims {length} bytes of data but has room for {room}")
}
