//! The classic format (draft-ietf-opsawg-pcap): one header, one link type, 16 bytes a record.
//!
//! In: the stream. Out: records in the order of the file. Both byte orders, microseconds and
//! nanoseconds, known by the magic alone. A fraction of a second that is more than a second is data.

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
/// A patched libpcap of the nineties, whose records have 8 bytes more (Wireshark's
/// wiretap/libpcap.h).
const MAGIC_MODIFIED: u32 = 0xa1b2_cd34;
/// The only version in use since 1998.
const VERSION: u16 = 2;
/// Where the header has its link type.
const LINK_TYPE_OFFSET: usize = 20;

/// A capture whose header was read.
pub(super) struct Pcap {
    order: ByteOrder,
    fraction_ns: u64,
    snap_length: u32,
    link: LinkType,
}

impl Pcap {
    /// Reads the header.
    pub(super) fn open(stream: &mut Stream) -> Result<Self, CaptureError> {
        let Some(magic) = stream.head::<4>("its magic number")? else {
            return Err(stream.error("the capture is empty: not even a header is there".into()));
        };
        let (order, fraction_ns) = judge_magic(magic).map_err(|text| stream.error(text))?;
        let Some(header) = stream.head::<HEADER_LENGTH>("its header")? else {
            return Err(stream.error("the capture has no header".into()));
        };
        let version = order.word(&header, 4);
        if version != VERSION {
            return Err(stream.error(format!("pcap of version {version}; known is {VERSION}")));
        }
        // Section 4: the lower 16 bits; those above say how long a frame check sequence is, which
        // lies behind the packet and goes with the rest of the link layer.
        let number = order.long(&header, LINK_TYPE_OFFSET) as u16;
        let link = LinkType::of(number).ok_or_else(|| CaptureError {
            offset: stream.offset() + LINK_TYPE_OFFSET as u64,
            text: LinkType::unknown(number),
        })?;
        stream.skip(HEADER_LENGTH, "its header")?;
        Ok(Self { order, fraction_ns, snap_length: order.long(&header, 16), link })
    }

    /// Takes the next record.
    #[inline]
    pub(super) fn next(&self, stream: &mut Stream) -> Result<Option<Record>, CaptureError> {
        let Some(header) = stream.head::<RECORD_HEADER_LENGTH>("the header of a record")? else {
            return Ok(None);
        };
        let long = |at| self.order.long(&header, at);
        let (seconds, fraction, captured, original) = (long(0), long(4), long(8), long(12));
        check_lengths(captured, original, self.snap_length).map_err(|text| stream.error(text))?;
        let record = stream.take(RECORD_HEADER_LENGTH + captured as usize, "a record")?;
        Ok(Some(Record {
            interface: 0,
            link: self.link,
            // At most 2^32 s and 2^32 µs: below 2^64 ns.
            time_ns: u64::from(seconds) * SECOND_NS + u64::from(fraction) * self.fraction_ns,
            bytes: record.start + RECORD_HEADER_LENGTH..record.end,
            cut: captured < original,
        }))
    }
}

/// The byte order, and how many nanoseconds a fraction counts.
fn judge_magic(magic: [u8; 4]) -> Result<(ByteOrder, u64), String> {
    for order in [ByteOrder::Little, ByteOrder::Big] {
        match order.long(&magic, 0) {
            MAGIC_MICROSECONDS => return Ok((order, 1000)),
            MAGIC_NANOSECONDS => return Ok((order, 1)),
            MAGIC_MODIFIED => {
                return Err("the modified pcap of an old libpcap; save it as pcapng".into());
            }
            _ => {}
        }
    }
    let [a, b, c, d] = magic;
    Err(format!(
        "not a capture: it begins with {a:02x} {b:02x} {c:02x} {d:02x}; a pcap begins with a1 b2 \
         c3 d4 or a1 b2 3c 4d in either byte order, a pcapng with 0a 0d 0d 0a, gzip with 1f 8b"
    ))
}
