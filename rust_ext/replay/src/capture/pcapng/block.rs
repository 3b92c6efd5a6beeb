//! Blocks: type, length, body, length again (draft-ietf-opsawg-pcapng §3.1).
//!
//! An error has the offset of the block's first byte.

use std::ops::Range;

use super::super::{CaptureError, record::ByteOrder, stream::Stream};

/// Section 4.1: a section header's type reads the same in both byte orders.
pub(super) const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;

/// Type and length before the body.
const HEADER_LENGTH: usize = 8;
/// The length again, after the body.
const TRAILER_LENGTH: usize = 4;
const MIN_LENGTH: u32 = 12;

/// A block before its body is read.
pub(super) struct Header {
    pub(super) kind: u32,
    pub(super) order: ByteOrder,
    length: u32,
}

/// The body of a block.
pub(super) struct Body {
    /// Range in the stream's window.
    pub(super) bytes: Range<usize>,
    offset: u64,
}

impl Header {
    /// Reads the next block's header without consuming it. `section` is the byte order of the current
    /// section.
    #[inline]
    pub(super) fn peek(
        stream: &mut Stream,
        section: Option<ByteOrder>,
    ) -> Result<Option<Self>, CaptureError> {
        let Some(head) = stream.head::<HEADER_LENGTH>("a block header")? else {
            return Ok(None);
        };
        let is_section = head.starts_with(&SECTION_HEADER.to_be_bytes());
        let order = if is_section { Some(section_order(stream)?) } else { section };
        let order = order.ok_or_else(|| stream.error("a block outside any section".into()))?;
        let header = Self { kind: order.u32_at(&head, 0), order, length: order.u32_at(&head, 4) };
        if header.length < MIN_LENGTH || header.length % 4 != 0 {
            return Err(stream.error(format!(
                "a block length of {}; expected at least {MIN_LENGTH}, and a multiple of 4",
                header.length
            )));
        }
        Ok(Some(header))
    }

    /// Consumes the block, whose body must have at least `fields` and at most `limit` bytes.
    #[inline]
    pub(super) fn take(
        &self,
        fields: usize,
        limit: usize,
        what: &str,
        stream: &mut Stream,
    ) -> Result<Body, CaptureError> {
        let length = self.body_length();
        if length < fields || length > limit {
            return Err(stream.error(format!(
                "{what} with a body of {length} bytes; expected {fields} to {limit}"
            )));
        }
        let offset = stream.offset();
        let block = stream.take(self.length as usize, what)?;
        let body = block.start + HEADER_LENGTH..block.end - TRAILER_LENGTH;
        let trailer = self.order.u32_at(stream.slice(&(body.end..block.end)), 0);
        self.check_trailer(trailer, offset)?;
        Ok(Body { bytes: body, offset })
    }

    /// Skips the block without holding it in memory.
    pub(super) fn skip(&self, stream: &mut Stream) -> Result<(), CaptureError> {
        let offset = stream.offset();
        let at_block = |error: CaptureError| CaptureError { offset, ..error };
        stream.skip(HEADER_LENGTH + self.body_length(), "a block").map_err(at_block)?;
        let trailer = stream.take(TRAILER_LENGTH, "a block").map_err(at_block)?;
        self.check_trailer(self.order.u32_at(stream.slice(&trailer), 0), offset)
    }

    fn body_length(&self) -> usize {
        (self.length - MIN_LENGTH) as usize
    }

    fn check_trailer(&self, trailer: u32, offset: u64) -> Result<(), CaptureError> {
        if trailer == self.length {
            return Ok(());
        }
        let text =
            format!("a block length of {} before the body, but {trailer} after it", self.length);
        Err(CaptureError { offset, text })
    }
}

impl Body {
    /// Returns an error about this block.
    pub(super) fn error(&self, text: String) -> CaptureError {
        CaptureError { offset: self.offset, text }
    }
}

/// Returns the byte order of the section header that comes next.
fn section_order(stream: &mut Stream) -> Result<ByteOrder, CaptureError> {
    let head = stream.head::<{ HEADER_LENGTH + 4 }>("a section header")?.unwrap_or_default();
    [ByteOrder::Little, ByteOrder::Big]
        .into_iter()
        .find(|order| order.u32_at(&head, HEADER_LENGTH) == BYTE_ORDER_MAGIC)
        .ok_or_else(|| {
            stream.error(
                "the section header's byte order magic is neither 4d 3c 2b 1a nor 1a 2b 3c 4d"
                    .into(),
            )
        })
}
