//! layout: the batch that follows from a stage's verdicts.
//!
//! In: rows with their verdicts, what was inserted and emitted. Out: the batch for what comes behind;
//! what was dropped, by reason, and made. Drops: what the stage drops; what it wrote and finds no room
//! in the buffer (`no_room`). Order: what was emitted goes before all, what was inserted before its row.

use super::{Fate, Origin, Row, Verdicts};
use crate::{
    frame::{Frame, Slice},
    packet::{ip, pieces::pieces},
    stage_api::{CountAdjustment, StageBatch},
    stages::state::{Emission, Reason},
    wireguard::peer::PeerId,
};

impl Verdicts {
    /// Lays out the batch behind this stage. `emitted` are frames of this direction that the stage
    /// sent on, of which those that were held in this `call` go back to their places.
    pub fn finish(
        &mut self,
        stage_batch: &mut StageBatch,
        selected: &[u32],
        emitted: &mut Vec<Emission>,
        call: u64,
    ) {
        emitted.retain(|emission| match &emission.held {
            Some(held) if held.call == call && emission.direction == held.direction => {
                self.put_back(held.row as usize);
                false
            }
            _ => true,
        });
        if !self.changed && emitted.is_empty() {
            return;
        }
        self.inserted.sort_by_key(|(before, _)| *before);
        let mut kept = std::mem::take(&mut self.kept);
        for emission in emitted.drain(..) {
            self.emit(emission, stage_batch, &mut kept);
        }
        let frames = std::mem::take(&mut stage_batch.batch.frames);
        let mut shown = 0;
        for (index, frame) in frames.iter().enumerate() {
            if selected.get(shown) == Some(&(index as u32)) {
                self.place(shown, stage_batch, &mut kept);
                shown += 1;
            } else {
                kept.push(*frame);
            }
        }
        self.place_inserted(u32::MAX, stage_batch, &mut kept);
        stage_batch.batch.frames = kept;
        self.kept = frames;
        self.kept.clear();
    }

    /// The answers, for the other path.
    pub fn answers(&mut self) -> impl Iterator<Item = (Frame, Vec<u8>)> + '_ {
        self.answers.drain(..)
    }

    /// The rows that go on, with their places: what a held frame of the same flow was passed by.
    pub fn passing(&self) -> impl Iterator<Item = (u32, &Frame)> {
        let keeps = self.rows.iter().enumerate().filter(|(_, row)| row.fate == Fate::Keep);
        keeps.map(|(number, row)| (self.place_of(number), &row.frame))
    }

    /// A number that is greater for a row that stands behind another in the batch.
    pub fn place_of(&self, row: usize) -> u32 {
        match self.rows[row].origin {
            Origin::Batch => (row as u32) << 16,
            Origin::Segment { parent, number } => parent << 16 | number & 0xFFFF,
        }
    }

    fn emit(&mut self, emission: Emission, stage_batch: &mut StageBatch, kept: &mut Vec<Frame>) {
        let Emission { frame, bytes, held, .. } = emission;
        let segments = u64::from(frame.segments);
        match stage_batch.buffer.append(&bytes) {
            Some(offset) => kept.push(Frame { offset, slices: 0, ..frame }),
            // Booked as made, then dropped: what was held and is sent on was in the path's queue.
            None => self.book_drop(stage_batch, frame.peer, segments, Reason::NO_ROOM),
        }
        let from_here = held.as_ref().is_some_and(|held| held.direction == self.direction);
        if !from_here {
            self.book_created(stage_batch, frame.peer, segments);
        }
    }

    fn place(&mut self, row: usize, stage_batch: &mut StageBatch, kept: &mut Vec<Frame>) {
        self.place_inserted(row as u32, stage_batch, kept);
        let Row { frame, replaced, fate, .. } = self.rows[row];
        let segments = u64::from(frame.segments);
        match fate {
            Fate::Hold => {
                if let Some(replaced) = replaced {
                    self.book_replaced(stage_batch, &frame, &replaced);
                }
            }
            Fate::Drop(reason) => self.book_drop(stage_batch, frame.peer, segments, reason),
            Fate::Split { first, count, .. } => {
                if let Some(replaced) = replaced {
                    self.book_replaced(stage_batch, &frame, &replaced);
                }
                for segment in first..first + count {
                    self.place(segment as usize, stage_batch, kept);
                }
            }
            Fate::Keep => self.keep(row, stage_batch, kept),
        }
    }

    fn keep(&mut self, row: usize, stage_batch: &mut StageBatch, kept: &mut Vec<Frame>) {
        let Row { frame, origin, replaced, ecn, .. } = self.rows[row];
        let (mut frame, segments) = match (replaced, origin) {
            (Some(replaced), _) => {
                self.book_replaced(stage_batch, &frame, &replaced);
                let offset = stage_batch.buffer.append(replaced.bytes(&self.data));
                (Frame { offset: offset.unwrap_or(u32::MAX), ..replaced }, replaced.segments)
            }
            (None, Origin::Segment { parent, number }) => {
                let Some((segments, whole)) = self.parent(parent) else { return };
                let number = number as usize;
                let offset = stage_batch.buffer.append_with(segments.length(number), |room| {
                    segments.write(number, whole, room);
                });
                (Frame { offset: offset.unwrap_or(u32::MAX), ..frame }, 1)
            }
            (None, Origin::Batch) => (frame, frame.segments),
        };
        if frame.offset == u32::MAX {
            return self.book_drop(stage_batch, frame.peer, u64::from(segments), Reason::NO_ROOM);
        }
        if let Some(ecn) = ecn {
            let head =
                pieces(&frame, &stage_batch.batch.slices, &mut [Slice { offset: 0, length: 0 }])[0];
            ip::mark(&mut frame, stage_batch.buffer.change(head.offset, head.length), ecn);
        }
        kept.push(frame);
    }

    fn place_inserted(&mut self, before: u32, stage_batch: &mut StageBatch, kept: &mut Vec<Frame>) {
        if self.inserted.is_empty() {
            return;
        }
        let first = self.inserted.partition_point(|(at, _)| *at < before);
        let last = self.inserted.partition_point(|(at, _)| *at <= before);
        for number in first..last {
            let frame = self.inserted[number].1;
            let segments = u64::from(frame.segments);
            self.book_created(stage_batch, frame.peer, segments);
            match stage_batch.buffer.append(frame.bytes(&self.data)) {
                Some(offset) => kept.push(Frame { offset, ..frame }),
                None => self.book_drop(stage_batch, frame.peer, segments, Reason::NO_ROOM),
            }
        }
    }

    /// A frame that goes elsewhere is dropped for one peer and made for another; one with more or
    /// fewer segments made or lost the difference.
    fn book_replaced(&mut self, stage_batch: &mut StageBatch, was: &Frame, is: &Frame) {
        let (before, after) = (u64::from(was.segments), u64::from(is.segments));
        if was.peer != is.peer {
            self.book_drop(stage_batch, was.peer, before, Reason::REROUTED);
            self.book_created(stage_batch, is.peer, after);
        } else if after > before {
            self.book_created(stage_batch, is.peer, after - before);
        } else if before > after {
            self.book_drop(stage_batch, is.peer, before - after, Reason::REPLACED);
        }
    }

    fn book_drop(
        &mut self,
        stage_batch: &mut StageBatch,
        peer: u32,
        segments: u64,
        reason: Reason,
    ) {
        match self.dropped.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, count)) => *count += segments,
            None => self.dropped.push((reason, segments)),
        }
        book(stage_batch, peer, segments, false);
    }

    fn book_created(&mut self, stage_batch: &mut StageBatch, peer: u32, segments: u64) {
        self.created += segments;
        book(stage_batch, peer, segments, true);
    }
}

/// Adds to the stage_batch's adjustments, one entry a peer and kind in a row.
fn book(stage_batch: &mut StageBatch, peer: u32, segments: u64, created: bool) {
    let peer = PeerId(peer);
    match stage_batch
        .adjustments
        .last_mut()
        .filter(|last| last.peer == peer && last.created == created)
    {
        Some(last) => last.segments += segments,
        None => stage_batch.adjustments.push(CountAdjustment { peer, segments, created }),
    }
}
