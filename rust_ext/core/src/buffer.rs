//! The buffer that a drain's frames lie in. One writer; readers may keep it beyond the drain.
//!
//! In: a drain's bytes, then what stages add behind them. Out: the same bytes. Drops: what finds no
//! room is refused, and the caller counts it. Where a reader still keeps the bytes when they would
//! be written over, the writer goes on with a fresh buffer: a reader never sees another packet.

use std::{ops::Deref, sync::Arc};

/// Bytes behind a drain for what stages write. Address space only, until it is used.
pub const STAGE_ROOM: usize = 1 << 20;

/// A buffer of fixed length. Default: none at all, to leave in place of one that is lent.
#[derive(Debug, Default)]
pub struct Buffer {
    bytes: Option<Arc<Box<[u8]>>>,
    filled: usize,
    renewed: u64,
}

impl Buffer {
    /// A buffer of so many bytes, all 0.
    pub fn new(length: usize) -> Self {
        Self { bytes: Some(fresh(length)), filled: 0, renewed: 0 }
    }

    /// All of it, for a new drain.
    pub fn begin(&mut self) -> &mut [u8] {
        self.filled = 0;
        self.writable(0)
    }

    /// The drain's bytes end here; what stages add comes behind.
    pub fn fill(&mut self, to: usize) {
        self.filled = to;
    }

    /// Adds bytes behind what there is, and says where; `None` where there is no room.
    pub fn append(&mut self, bytes: &[u8]) -> Option<u32> {
        self.append_with(bytes.len(), |room| room.copy_from_slice(bytes))
    }

    /// The same with a writer that fills the room.
    pub fn append_with(&mut self, length: usize, write: impl FnOnce(&mut [u8])) -> Option<u32> {
        let (start, end) = (self.filled, self.filled + length);
        if end > self.len() {
            return None;
        }
        write(&mut self.writable(start)[start..end]);
        self.filled = end;
        Some(start as u32)
    }

    /// What was written, to change it.
    pub fn change(&mut self, offset: u32, length: u32) -> &mut [u8] {
        let filled = self.filled.max((offset + length) as usize);
        &mut self.writable(filled)[offset as usize..(offset + length) as usize]
    }

    /// The bytes for a reader who may keep them.
    pub fn share(&self) -> Option<Arc<Box<[u8]>>> {
        self.bytes.clone()
    }

    /// How often a reader kept the bytes, so that a fresh buffer took their place.
    pub fn renewed(&self) -> u64 {
        self.renewed
    }

    /// Write access to all of it; where a reader keeps the bytes, to a copy of the first `kept`.
    fn writable(&mut self, kept: usize) -> &mut [u8] {
        let bytes = self.bytes.get_or_insert_with(|| fresh(0));
        if Arc::get_mut(bytes).is_none() {
            let mut copy = fresh(bytes.len());
            if let Some(room) = Arc::get_mut(&mut copy) {
                room[..kept].copy_from_slice(&bytes[..kept]);
            }
            *bytes = copy;
            self.renewed += 1;
        }
        match Arc::get_mut(bytes) {
            Some(bytes) => bytes,
            None => unreachable!("nobody else has a buffer that was just made"),
        }
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes.as_ref().map_or(&[], |bytes| bytes)
    }
}

fn fresh(length: usize) -> Arc<Box<[u8]>> {
    Arc::new(vec![0; length].into_boxed_slice())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_keeps_the_bytes_never_sees_others() {
        let mut buffer = Buffer::new(8);
        buffer.begin()[..2].copy_from_slice(b"ab");
        buffer.fill(2);
        let kept = buffer.share().unwrap();
        assert_eq!(buffer.append(b"c"), Some(2));
        assert_eq!((&buffer[..3], &kept[..3]), (&b"abc"[..], &b"ab\0"[..]));
        buffer.begin()[..2].copy_from_slice(b"xy");
        assert_eq!((&kept[..2], buffer.renewed()), (&b"ab"[..], 1));
    }

    #[test]
    fn a_buffer_that_nobody_keeps_is_written_in_place() {
        let mut buffer = Buffer::new(8);
        drop(buffer.share());
        let place = buffer.begin().as_ptr();
        assert_eq!((buffer.begin().as_ptr(), buffer.renewed()), (place, 0));
    }

    #[test]
    fn what_finds_no_room_is_refused() {
        let mut buffer = Buffer::new(3);
        buffer.fill(2);
        assert_eq!((buffer.append(b"ab"), buffer.append(b"a")), (None, Some(2)));
    }
}
