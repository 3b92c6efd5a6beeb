//! A window over the bytes of a capture, in which records are read in place.
//!
//! The window grows to the largest record; the formats bound its size.

use std::{
    io::{ErrorKind, Read},
    ops::Range,
};

use super::{CaptureError, compression::Reader, io_error};

/// Bytes per read.
const READ_LENGTH: usize = 256 * 1024;

/// The bytes from the start of the next record.
pub(super) struct Stream {
    reader: Reader,
    buffer: Vec<u8>,
    /// Unread bytes in the buffer: `start..end`.
    start: usize,
    end: usize,
    /// Offset of `start` in the capture.
    offset: u64,
}

impl Stream {
    pub(super) fn new(reader: Reader) -> Self {
        Self { reader, buffer: vec![0; READ_LENGTH], start: 0, end: 0, offset: 0 }
    }

    /// Returns the offset of the next record.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Returns the next `count` bytes without consuming them; fewer only at the end of the capture.
    pub(super) fn peek(&mut self, count: usize) -> Result<&[u8], CaptureError> {
        if self.end - self.start < count {
            self.fill(count)?;
        }
        Ok(&self.buffer[self.start..self.end.min(self.start + count)])
    }

    /// Returns the next `N` bytes without consuming them; `None` at the end. Fewer bytes are an error about
    /// `what`.
    pub(super) fn head<const N: usize>(
        &mut self,
        what: &str,
    ) -> Result<Option<[u8; N]>, CaptureError> {
        let available = self.peek(N)?;
        if available.is_empty() {
            return Ok(None);
        }
        match available.first_chunk() {
            Some(head) => Ok(Some(*head)),
            None => {
                let length = available.len();
                Err(self.truncated(what, length, N))
            }
        }
    }

    /// Consumes `length` bytes; returns their range in the window, valid until the next call.
    pub(super) fn take(&mut self, length: usize, what: &str) -> Result<Range<usize>, CaptureError> {
        let available = self.peek(length)?.len();
        if available < length {
            return Err(self.truncated(what, available, length));
        }
        let taken = self.start..self.start + length;
        self.advance(length);
        Ok(taken)
    }

    /// Skips `length` bytes without holding them in memory.
    pub(super) fn skip(&mut self, length: usize, what: &str) -> Result<(), CaptureError> {
        let mut left = length;
        while left > 0 {
            let available = self.peek(left.min(READ_LENGTH))?.len();
            if available == 0 {
                return Err(self.truncated(what, length - left, length));
            }
            self.advance(available);
            left -= available;
        }
        Ok(())
    }

    /// Returns the bytes of a range from `take`.
    pub(super) fn slice(&self, taken: &Range<usize>) -> &[u8] {
        &self.buffer[taken.clone()]
    }

    /// Returns the size of the window.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.buffer.len()
    }

    /// Returns an error about the next record.
    pub(super) fn error(&self, text: String) -> CaptureError {
        CaptureError { offset: self.offset, text }
    }

    fn truncated(&self, what: &str, available: usize, needed: usize) -> CaptureError {
        self.error(format!("the capture ends within {what}: {available} of {needed} bytes"))
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
                Err(error) => return Err(io_error(self.offset + self.end as u64, &error)),
            }
        }
        Ok(())
    }
}
