//! apply: builds the batch that follows from a stage's verdicts.
//!
//! In: rows with their verdicts, inserted and emitted frames. Out: the batch behind the stage; segments
//! dropped, by reason, and created. Drops: what the stage drops; what it wrote and the buffer has no room for
//! (`no_room`). Order: emitted frames go before the batch, inserted ones before their row.

use super::{Origin, Row, Verdict, Verdicts};
use crate::{
    frame::{Frame, Slice},
    packet::{ip, pieces::pieces},
    stage_api::{CountAdjustment, StageBatch},
    stages::state::{Emission, Reason},
    wireguard::peer::PeerId,
};

impl Verdicts {
    /// Builds the batch behind this stage. `emitted` are the frames of this direction that the stage emitted;
    /// those that it held in this same `call` return to their places.
    pub fn apply(
        &mut self,
        stage_batch: &mut StageBatch,
        selected: &[u32],
        emitted: &mut Vec<Emission>,
        call: u64,
    ) {
        emitted.retain(|emission| match emission.held {
            Some((direction, place)) if place.call == call && emission.direction == direction => {
                self.unhold(place.row as usize);
                false
            }
            _ => true,
        });
        if !self.changed && emitted.is_empty() {
            return;
        }
        self.inserted.sort_by_key(|(before, _)| *before);
        let mut output = std::mem::take(&mut self.output);
        for emission in emitted.drain(..) {
            self.append_emitted(emission, stage_batch, &mut output);
        }
        let frames = std::mem::take(&mut stage_batch.batch.frames);
        let mut row = 0;
        for (index, frame) in frames.iter().enumerate() {
            if selected.get(row) == Some(&(index as u32)) {
                self.append_row(row, stage_batch, &mut output);
                row += 1;
            } else {
                output.push(*frame);
            }
        }
        self.append_inserted(u32::MAX, stage_batch, &mut output);
        stage_batch.batch.frames = output;
        self.output = frames;
        self.output.clear();
    }

    /// Takes the answers, for the other path.
    pub fn answers(&mut self) -> impl Iterator<Item = (Frame, Vec<u8>)> + '_ {
        self.answers.drain(..)
    }

    /// Returns the frames that pass the stage, with their positions.
    pub fn passed(&self) -> impl Iterator<Item = (u32, &Frame)> {
        let kept = self.rows.iter().enumerate().filter(|(_, row)| row.verdict == Verdict::Keep);
        kept.map(|(number, row)| (self.position(number), &row.frame))
    }

    /// Returns a number that orders rows as they are in the batch: segments have the place of their frame.
    pub fn position(&self, row: usize) -> u32 {
        match self.rows[row].origin {
            Origin::Batch => (row as u32) << 16,
            Origin::Segment { parent, number } => parent << 16 | number & 0xFFFF,
        }
    }

    fn append_emitted(
        &mut self,
        emission: Emission,
        stage_batch: &mut StageBatch,
        output: &mut Vec<Frame>,
    ) {
        let Emission { frame, bytes, held, .. } = emission;
        let segments = u64::from(frame.segments);
        match stage_batch.buffer.append(&bytes) {
            Some(offset) => output.push(Frame { offset, slices: 0, ..frame }),
            None => self.count_drop(stage_batch, frame.peer, segments, Reason::NO_ROOM),
        }
        // A frame that was held on this path is already counted there, as queued.
        if held.is_none_or(|(direction, _)| direction != self.direction) {
            self.count_created(stage_batch, frame.peer, segments);
        }
    }

    fn append_row(&mut self, row: usize, stage_batch: &mut StageBatch, output: &mut Vec<Frame>) {
        self.append_inserted(row as u32, stage_batch, output);
        let Row { frame, replaced, verdict, .. } = self.rows[row];
        match verdict {
            Verdict::Hold => self.count_replaced(stage_batch, &frame, replaced),
            Verdict::Drop(reason) => {
                self.count_drop(stage_batch, frame.peer, u64::from(frame.segments), reason);
            }
            Verdict::Split { first, count, .. } => {
                self.count_replaced(stage_batch, &frame, replaced);
                for segment in first..first + count {
                    self.append_row(segment as usize, stage_batch, output);
                }
            }
            Verdict::Keep => self.append_kept(row, stage_batch, output),
        }
    }

    fn append_kept(&mut self, row: usize, stage_batch: &mut StageBatch, output: &mut Vec<Frame>) {
        let Row { frame, origin, replaced, ecn, .. } = self.rows[row];
        let (mut frame, segments) = match (replaced, origin) {
            (Some(new), _) => {
                self.count_replaced(stage_batch, &frame, replaced);
                let offset = stage_batch.buffer.append(new.bytes(&self.data));
                (Frame { offset: offset.unwrap_or(u32::MAX), ..new }, new.segments)
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
            return self.count_drop(stage_batch, frame.peer, u64::from(segments), Reason::NO_ROOM);
        }
        if let Some(ecn) = ecn {
            let head =
                pieces(&frame, &stage_batch.batch.slices, &mut [Slice { offset: 0, length: 0 }])[0];
            ip::mark(&mut frame, stage_batch.buffer.change(head.offset, head.length), ecn);
        }
        output.push(frame);
    }

    fn append_inserted(
        &mut self,
        before: u32,
        stage_batch: &mut StageBatch,
        output: &mut Vec<Frame>,
    ) {
        if self.inserted.is_empty() {
            return;
        }
        let first = self.inserted.partition_point(|(row, _)| *row < before);
        let end = self.inserted.partition_point(|(row, _)| *row <= before);
        for number in first..end {
            let frame = self.inserted[number].1;
            let segments = u64::from(frame.segments);
            self.count_created(stage_batch, frame.peer, segments);
            match stage_batch.buffer.append(frame.bytes(&self.data)) {
                Some(offset) => output.push(Frame { offset, ..frame }),
                None => self.count_drop(stage_batch, frame.peer, segments, Reason::NO_ROOM),
            }
        }
    }

    /// A frame that changes its peer counts as dropped for one and created for the other; otherwise the
    /// difference in segments counts as created or dropped.
    fn count_replaced(
        &mut self,
        stage_batch: &mut StageBatch,
        frame: &Frame,
        replaced: Option<Frame>,
    ) {
        let Some(new) = replaced else { return };
        let (before, after) = (u64::from(frame.segments), u64::from(new.segments));
        if frame.peer != new.peer {
            self.count_drop(stage_batch, frame.peer, before, Reason::REROUTED);
            self.count_created(stage_batch, new.peer, after);
        } else if after > before {
            self.count_created(stage_batch, new.peer, after - before);
        } else if before > after {
            self.count_drop(stage_batch, new.peer, before - after, Reason::REPLACED);
        }
    }

    fn count_drop(
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
        adjust(stage_batch, peer, segments, false);
    }

    fn count_created(&mut self, stage_batch: &mut StageBatch, peer: u32, segments: u64) {
        self.created += segments;
        adjust(stage_batch, peer, segments, true);
    }
}

/// Adds to the batch's adjustments; consecutive ones of the same peer and kind share an entry.
fn adjust(stage_batch: &mut StageBatch, peer: u32, segments: u64, created: bool) {
    let peer = PeerId(peer);
    let last = stage_batch.adjustments.last_mut();
    match last.filter(|last| last.peer == peer && last.created == created) {
        Some(last) => last.segments += segments,
        None => stage_batch.adjustments.push(CountAdjustment { peer, segments, created }),
    }
}
