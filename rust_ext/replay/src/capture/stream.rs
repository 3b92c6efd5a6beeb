//! A window over the bytes of a capture: records are read in place, and nothing is kept.
//!
//! In: a reader. Out: as many bytes as a record needs, in one piece. The window is one buffer that
//! grows to the largest record there was, and that is bounded by what the formats ask for.

use std::{
    io::{ErrorKind, Read},
    ops::Range,
};

use super::{CaptureError, compression::Reader, unreadable};

/// Bytes that are read at once.
const READ_LENGTH: usize = 256 * 1024;

/// The bytes from where the next record begins.
pub(super) struct Stream {
    reader: Reader,
    buffer: Vec<u8>,
    /// The unread bytes in the buffer.
    start: usize,
    end: usize,
    /// Where `start` is in the capture.
    offset: u64,
}

impl Stream {
    pub(super) fn new(reader: Reader) -> Self {
        Self { reader, buffer: vec![0; READ_LENGTH], start: 0, end: 0, offset: 0 }
    }

    /// Where the next record begins.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// The next `count` bytes, which stay; fewer only at the end of the capture.
    pub(super) fn peek(&mut self, count: usize) -> Result<&[u8], CaptureError> {
        if self.end - self.start < count {
            self.fill(count)?;
        }
        Ok(&self.buffer[self.start..self.end.min(self.start + count)])
    }

    /// The next `N` bytes, which stay; none at the very end. `what` is cut if there are fewer.
    pub(super) fn head<const N: usize>(
        &mut self,
        what: &str,
    ) -> Result<Option<[u8; N]>, CaptureError> {
        let there = self.peek(N)?;
        if there.is_empty() {
            return Ok(None);
        }
        match there.first_chunk() {
            Some(head) => Ok(Some(*head)),
            None => {
                let length = there.len();
                Err(self.cut(what, length, N))
            }
        }
    }

    /// Takes the next `length` bytes and says where they lie, until the next call.
    pub(super) fn take(&mut self, length: usize, what: &str) -> Result<Range<usize>, CaptureError> {
        let there = self.peek(length)?.len();
        if there < length {
            return Err(self.cut(what, there, length));
        }
        let taken = self.start..self.start + length;
        self.advance(length);
        Ok(taken)
    }

    /// Passes over `length` bytes that nobody needs, however many.
    pub(super) fn skip(&mut self, length: usize, what: &str) -> Result<(), CaptureError> {
        let mut left = length;
        while left > 0 {
            let there = self.peek(left.min(READ_LENGTH))?.len();
            if there == 0 {
                return Err(self.cut(what, length - left, length));
            }
            self.advance(there);
            left -= there;
        }
        Ok(())
    }

    /// The bytes that were taken.
    pub(super) fn slice(&self, taken: &Range<usize>) -> &[u8] {
        &self.buffer[taken.clone()]
    }

    /// Bytes of the window.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.buffer.len()
    }

    /// An error about the record that begins here.
    pub(super) fn error(&self, text: String) -> CaptureError {
        CaptureError { offset: self.offset, text }
    }

    fn cut(&self, what: &str, there: usize, wanted: usize) -> CaptureError {
        self.error(format!("the capture ends inside {what}: {there} of {wanted} bytes are there"))
    }

    fn advance(&mut self, length: usize) {
        self.start += length;
        self.offset += length as u64;
    }

    fn fill(&mut self, count: usize) -> Result<(), CaptureError> {
        self.buffer.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        if self.buffer.len() < count {
            self.buffer.resize(count, 0);
        }
        while self.end < count {
            match self.reader.read(&mut self.buffer[self.end..]) {
                Ok(0) => break,
                Ok(read) => self.end += read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(unreadable(self.offset + self.end as u64, &error)),
            }
        }
        Ok(())
    }
}
