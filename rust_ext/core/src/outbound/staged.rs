//! Frames that wait until their peer has a session.
//!
//! Order: first in, first out; they are sent before any newer frame is read. The oldest are dropped once a
//! peer has more than 128 segments, or the tunnel more than 16 MiB.

use std::collections::VecDeque;

use crate::frame::Frame;

/// Segments that may wait for one peer: MAX_STAGED_PACKETS of Linux's drivers/net/wireguard/messages.h.
const MAX_SEGMENTS: u64 = 128;

/// Bytes that may wait in one tunnel, for all peers together.
const MAX_BYTES: usize = 16 << 20;

/// The staged frames of one peer.
#[derive(Debug, Default)]
pub(crate) struct Staged {
    frames: VecDeque<(Frame, Box<[u8]>)>,
    segments: u64,
}

/// The staged bytes of all peers of a tunnel.
#[derive(Debug, Default)]
pub(crate) struct StagedBytes(usize);

impl Staged {
    /// Appends a copy of a frame. Returns how many segments were dropped to make room, which are the frame's
    /// own if nothing older is left to drop.
    pub(crate) fn push(&mut self, frame: &Frame, bytes: &[u8], total: &mut StagedBytes) -> u64 {
        let mut dropped = 0;
        while self.segments + u64::from(frame.segments) > MAX_SEGMENTS
            || total.0 + bytes.len() > MAX_BYTES
        {
            match self.pop(total) {
                Some((oldest, _)) => dropped += u64::from(oldest.segments),
                // A single frame may exceed the peer's limit: one of many tiny segments.
                None if total.0 + bytes.len() <= MAX_BYTES => break,
                None => return dropped + u64::from(frame.segments),
            }
        }
        self.segments += u64::from(frame.segments);
        total.0 += bytes.len();
        self.frames.push_back((Frame { offset: 0, ..*frame }, bytes.into()));
        dropped
    }

    /// Removes the oldest frame; it lies at offset 0 of its bytes.
    pub(crate) fn pop(&mut self, total: &mut StagedBytes) -> Option<(Frame, Box<[u8]>)> {
        let (frame, bytes) = self.frames.pop_front()?;
        self.segments -= u64::from(frame.segments);
        total.0 -= bytes.len();
        Some((frame, bytes))
    }

    /// Puts back the frame that was popped last.
    pub(crate) fn put_back(&mut self, frame: Frame, bytes: Box<[u8]>, total: &mut StagedBytes) {
        self.segments += u64::from(frame.segments);
        total.0 += bytes.len();
        self.frames.push_front((frame, bytes));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }
}
