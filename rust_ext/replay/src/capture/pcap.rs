//! The classic format (draft-ietf-opsawg-pcap): one header with one link type, then records.
//!
//! The magic number gives the byte order and the unit of time. A fraction above one second is accepted.

use pyfw_core::time::SECOND_NS;

use super::{
    CaptureError,
    link::LinkType,
    record::{ByteOrder, Record, check_lengths},
    stream::Stream,
};

const HEADER_LENGTH: usize = 24;
const RECORD_HEADER_LENGTH: usize = 16;
/// Section 4: magic numbers, in the writer's byte order.
const MAGIC_MICROSECONDS: u32 = 0xa1b2_c3d4;
const MAGIC_NANOSECONDS: u32 = 0xa1b2_3c4d;
/// A patched libpcap of the 1990s, whose record headers are 8 bytes longer (Wireshark's wiretap/libpcap.h).
const MAGIC_MODIFIED: u32 = 0xa1b2_cd34;
/// The only version in use since 1998.
const VERSION: u16 = 2;
/// Offset of the link type in the header.
const LINK_TYPE_OFFSET: usize = 20;

/// A pcap after its header.
pub(super) struct Pcap {
    order: ByteOrder,
    fraction_ns: u64,
    snap_length: u32,
    link: LinkType,
}

impl Pcap {
    /// Reads the header.
    pub(super) fn open(stream: &mut Stream) -> Result<Self, CaptureError> {
        let Some(magic) = stream.head::<4>("the magic number")? else {
            return Err(stream.error("the capture is empty".into()));
        };
        let (order, fraction_ns) = parse_magic(magic).map_err(|text| stream.error(text))?;
        let Some(header) = stream.head::<HEADER_LENGTH>("the file header")? else {
            return Err(stream.error("the capture has no header".into()));
        };
        let version = order.u16_at(&header, 4);
        if version != VERSION {
            return Err(stream
                .error(format!("pcap version {version} is not supported; expected {VERSION}")));
        }
        // Section 4: the lower 16 bits. The upper bits give the length of the frame check sequence, which is
        // cut off with the rest of the link layer.
        let number = order.u32_at(&header, LINK_TYPE_OFFSET) as u16;
        let link = LinkType::from_number(number).ok_or_else(|| CaptureError {
            offset: stream.offset() + LINK_TYPE_OFFSET as u64,
            text: LinkType::unsupported(number),
        })?;
        stream.skip(HEADER_LENGTH, "the file header")?;
        Ok(Self { order, fraction_ns, snap_length: order.u32_at(&header, 16), link })
    }

    /// Reads the next record.
    #[inline]
    pub(super) fn next(&self, stream: &mut Stream) -> Result<Option<Record>, CaptureError> {
        let Some(header) = stream.head::<RECORD_HEADER_LENGTH>("a record header")? else {
            return Ok(None);
        };
        let field = |at| self.order.u32_at(&header, at);
        let (seconds, fraction, captured, original) = (field(0), field(4), field(8), field(12));
        check_lengths(captured, original, self.snap_length).map_err(|text| stream.error(text))?;
        let record = stream.take(RECORD_HEADER_LENGTH + captured as usize, "a record")?;
        Ok(Some(Record {
            interface: 0,
            link: self.link,
            // At most 2^32 s plus 2^32 µs, which is below 2^64 ns.
            time_ns: u64::from(seconds) * SECOND_NS + u64::from(fraction) * self.fraction_ns,
            bytes: record.start + RECORD_HEADER_LENGTH..record.end,
            is_truncated: captured < original,
        }))
    }
}

/// Returns the byte order, and the nanoseconds per unit of a fraction.
fn parse_magic(magic: [u8; 4]) -> Result<(ByteOrder, u64), String> {
    for order in [ByteOrder::Little, ByteOrder::Big] {
        match order.u32_at(&magic, 0) {
            MAGIC_MICROSECONDS => return Ok((order, 1000)),
            MAGIC_NANOSECONDS => return Ok((order, 1)),
            MAGIC_MODIFIED => {
                let text = "modified pcap of an old libpcap; convert it, for example with editcap";
                return Err(text.into());
            }
            _ => {}
        }
    }
    let [a, b, c, d] = magic;
    Err(format!(
        "not a capture: starts with {a:02x} {b:02x} {c:02x} {d:02x}; expected a pcap (a1 b2 c3 d4 \
         or a1 b2 3c 4d in either byte order), a pcapng (0a 0d 0d 0a) or gzip (1f 8b)"
    ))
}
