//! Frames that wait for a session.
//!
//! In: copies of frames whose peer has no usable keys. Out: the same, oldest first, once it has.
//! Drops: the oldest, where the peer's 128 segments or the tunnel's 16 MiB would be passed.
//! Order: first in, first out; they leave before any newer frame is read (design §3.2).

use std::collections::VecDeque;

use crate::frame::Frame;

/// Segments that wait for one peer: MAX_STAGED_PACKETS of Linux's drivers/net/wireguard/messages.h.
pub const MAX_SEGMENTS: u64 = 128;

/// Bytes that wait in one tunnel, over all peers.
pub const MAX_BYTES: usize = 16 << 20;

/// One peer's waiting frames.
#[derive(Debug, Default)]
pub struct Staged {
    frames: VecDeque<(Frame, Box<[u8]>)>,
    segments: u64,
}

/// The tunnel's share of memory for staged frames.
#[derive(Debug, Default)]
pub struct StagedBytes(usize);

impl Staged {
    /// Puts a copy at the end, and returns how many segments were dropped to make room for it (the
    /// frame itself where nothing older is left to drop).
    pub fn push(&mut self, frame: &Frame, bytes: &[u8], all: &mut StagedBytes) -> u64 {
        let mut dropped = 0;
        while self.segments + u64::from(frame.segments) > MAX_SEGMENTS
            || all.0 + bytes.len() > MAX_BYTES
        {
            match self.pop(all) {
                Some((old, _)) => dropped += u64::from(old.segments),
                // Alone it may pass the peer's limit: one frame of tiny segments.
                None if all.0 + bytes.len() <= MAX_BYTES => break,
                None => return dropped + u64::from(frame.segments),
            }
        }
        self.segments += u64::from(frame.segments);
        all.0 += bytes.len();
        self.frames.push_back((Frame { offset: 0, ..*frame }, bytes.into()));
        dropped
    }

    /// Takes the oldest frame; its row points into the bytes beside it.
    pub fn pop(&mut self, all: &mut StagedBytes) -> Option<(Frame, Box<[u8]>)> {
        let (frame, bytes) = self.frames.pop_front()?;
        self.segments -= u64::from(frame.segments);
        all.0 -= bytes.len();
        Some((frame, bytes))
    }

    /// Puts a frame back in front: the GSO list had no room for it.
    pub fn put_back(&mut self, frame: Frame, bytes: Box<[u8]>, all: &mut StagedBytes) {
        self.segments += u64::from(frame.segments);
        all.0 += bytes.len();
        self.frames.push_front((frame, bytes));
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }
}
