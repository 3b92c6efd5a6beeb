//! The buffer of a drain's frames, with one writer. Readers may keep it after the drain.
//!
//! If a reader still holds the bytes when they would be overwritten, the writer continues in a fresh buffer, so a
//! reader never sees another packet.

use std::{ops::Deref, sync::Arc};

/// Bytes behind a drain that stages may write to. Until they do, it is address space only.
pub const STAGE_ROOM: usize = 1 << 20;

/// A buffer of fixed length. The default has length 0 and takes the place of one that was moved to the stages.
#[derive(Debug, Default)]
pub struct Buffer {
    bytes: Option<Arc<Box<[u8]>>>,
    filled: usize,
    replacements: u64,
}

impl Buffer {
    /// Creates a buffer of `length` zero bytes.
    pub fn new(length: usize) -> Self {
        Self { bytes: Some(fresh(length)), filled: 0, replacements: 0 }
    }

    /// Empties the buffer for a new drain and returns all of it.
    pub fn begin(&mut self) -> &mut [u8] {
        self.filled = 0;
        self.writable(0)
    }

    /// Sets where the drain's bytes end; stages append behind them.
    pub fn fill(&mut self, end: usize) {
        self.filled = end;
    }

    /// Appends bytes and returns their offset, or `None` if there is no room.
    pub fn append(&mut self, bytes: &[u8]) -> Option<u32> {
        self.append_with(bytes.len(), |place| place.copy_from_slice(bytes))
    }

    /// Appends `length` bytes that `write` fills in; otherwise the same as [`Self::append`].
    pub fn append_with(&mut self, length: usize, write: impl FnOnce(&mut [u8])) -> Option<u32> {
        let (start, end) = (self.filled, self.filled + length);
        if end > self.len() {
            return None;
        }
        write(&mut self.writable(start)[start..end]);
        self.filled = end;
        Some(start as u32)
    }

    /// Returns written bytes for modification.
    pub fn change(&mut self, offset: u32, length: u32) -> &mut [u8] {
        let filled = self.filled.max((offset + length) as usize);
        &mut self.writable(filled)[offset as usize..(offset + length) as usize]
    }

    /// Returns the bytes for a reader that may keep them.
    pub fn share(&self) -> Option<Arc<Box<[u8]>>> {
        self.bytes.clone()
    }

    /// Returns how often a fresh buffer took the place of one that a reader held.
    pub fn replacements(&self) -> u64 {
        self.replacements
    }

    /// Returns all bytes for writing. If a reader holds them, they are replaced by a fresh buffer with a copy of
    /// the first `used`.
    fn writable(&mut self, used: usize) -> &mut [u8] {
        let bytes = self.bytes.get_or_insert_with(|| fresh(0));
        if Arc::get_mut(bytes).is_none() {
            let mut copy = fresh(bytes.len());
            if let Some(copy) = Arc::get_mut(&mut copy) {
                copy[..used].copy_from_slice(&bytes[..used]);
            }
            *bytes = copy;
            self.replacements += 1;
        }
        match Arc::get_mut(bytes) {
            Some(bytes) => bytes,
            None => unreachable!("a fresh buffer has no other owner"),
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
    fn a_reader_never_sees_later_bytes() {
        let mut buffer = Buffer::new(8);
        buffer.begin()[..2].copy_from_slice(b"ab");
        buffer.fill(2);
        let held = buffer.share().unwrap();
        assert_eq!(buffer.append(b"c"), Some(2));
        assert_eq!((&buffer[..3], &held[..3]), (&b"abc"[..], &b"ab\0"[..]));
        buffer.begin()[..2].copy_from_slice(b"xy");
        assert_eq!((&held[..2], buffer.replacements()), (&b"ab"[..], 1));
    }

    #[test]
    fn a_buffer_without_readers_is_written_in_place() {
        let mut buffer = Buffer::new(8);
        drop(buffer.share());
        let place = buffer.begin().as_ptr();
        assert_eq!((buffer.begin().as_ptr(), buffer.replacements()), (place, 0));
    }

    #[test]
    fn bytes_without_room_are_refused() {
        let mut buffer = Buffer::new(3);
        buffer.fill(2);
        assert_eq!((buffer.append(b"ab"), buffer.append(b"a")), (None, Some(2)));
    }
}
