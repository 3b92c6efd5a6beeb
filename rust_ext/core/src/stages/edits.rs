//! edits: what one stage says of the frames it was shown, and the batch that follows from it.
//!
//! In: the rows that a stage was shown, its verdicts, packets it made. Out: the batch for what comes
//! behind it; what was dropped, by reason, and made. Drops: what the stage drops; what it wrote and
//! finds no room in the buffer (`no_room`). Order: rows keep their places; segments of a split frame
//! take its place; what was inserted stands before its row, what was emitted before all.

use std::{borrow::Cow, ops::Range};

use super::{
    Booking, Direction, Loan,
    ledger::{Emission, Reason},
    repair::{Cut, Unfit, repair},
    selection::{PeerNames, Selection},
};
use crate::{
    frame::{Frame, NO_PEER, Slice},
    packet::{ip, tcp},
    peer::PeerId,
    split::Segments,
    tun_egress::pieces,
};

/// The verdicts of one call, in the making.
#[derive(Debug)]
pub struct Edits {
    direction: Direction,
    mtu: usize,
    /// What the stage was shown, then what it split.
    rows: Vec<Row>,
    shown: usize,
    /// Bytes that the stage wrote, and frames that it split.
    data: Vec<u8>,
    inserted: Vec<(u32, Frame)>,
    answers: Vec<(Frame, Vec<u8>)>,
    changed: bool,
    kept: Vec<Frame>,
    /// What was dropped and what was made, for the stage's own counters.
    pub dropped: Vec<(Reason, u64)>,
    /// Segments made.
    pub created: u64,
}

#[derive(Clone, Copy, Debug)]
struct Row {
    frame: Frame,
    origin: Origin,
    /// Other bytes, in `data`.
    replaced: Option<Frame>,
    ecn: Option<u8>,
    fate: Fate,
}

#[derive(Clone, Copy, Debug)]
enum Origin {
    Batch,
    Segment { parent: u32, number: u32 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Keep,
    Drop(Reason),
    Hold,
    /// Its segments are rows of their own; its bytes lie in `data`.
    Split {
        first: u32,
        count: u32,
        flat: u32,
    },
}

/// Why a verdict cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// There is no such row.
    NoRow,
    /// The frame was dropped, held or split before.
    Gone,
    /// The bytes are no packet.
    Unfit(Unfit),
}

impl Edits {
    /// Nothing, for `begin`.
    pub fn new() -> Self {
        Self {
            direction: Direction::Outbound,
            mtu: 0,
            rows: Vec::new(),
            shown: 0,
            data: Vec::new(),
            inserted: Vec::new(),
            answers: Vec::new(),
            changed: false,
            kept: Vec::new(),
            dropped: Vec::new(),
            created: 0,
        }
    }

    /// Starts over with the selected rows of a batch.
    pub fn begin(&mut self, direction: Direction, mtu: usize, batch: &[Frame], selected: &[u32]) {
        self.direction = direction;
        self.mtu = mtu;
        self.rows.clear();
        self.rows.extend(selected.iter().map(|&index| Row::new(batch[index as usize])));
        self.shown = self.rows.len();
        self.data.clear();
        self.inserted.clear();
        self.answers.clear();
        self.dropped.clear();
        self.created = 0;
        self.changed = false;
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The path the rows are on.
    pub fn direction(&self) -> Direction {
        self.direction
    }

    /// A row as it is now: replaced, if it was.
    pub fn frame(&self, row: usize) -> Option<&Frame> {
        self.rows.get(row).map(|row| row.replaced.as_ref().unwrap_or(&row.frame))
    }

    /// All rows as they came, those of segments included.
    pub fn frames(&self) -> impl ExactSizeIterator<Item = &Frame> {
        self.rows.iter().map(|row| &row.frame)
    }

    /// A row's bytes as they are now: borrowed where they lie in one piece.
    pub fn bytes<'b>(
        &'b self,
        row: usize,
        buffer: &'b [u8],
        slices: &[Slice],
    ) -> Option<Cow<'b, [u8]>> {
        let Row { frame, origin, replaced, ecn, .. } = self.rows.get(row)?;
        let mut bytes = match (replaced, origin) {
            (Some(replaced), _) => Cow::Borrowed(replaced.bytes(&self.data)),
            (None, Origin::Batch) if frame.slices == 0 => Cow::Borrowed(frame.bytes(buffer)),
            (None, Origin::Batch) => Cow::Owned(gather(frame, buffer, slices)),
            (None, &Origin::Segment { parent, number }) => {
                let (segments, whole) = self.parent(parent)?;
                let mut bytes = vec![0; segments.length(number as usize)];
                segments.write(number as usize, whole, &mut bytes);
                Cow::Owned(bytes)
            }
        };
        if let Some(ecn) = *ecn {
            ip::set_ecn(bytes.to_mut(), ecn);
        }
        Some(bytes)
    }

    fn parent(&self, parent: u32) -> Option<(Segments, &[u8])> {
        let row = self.rows.get(parent as usize)?;
        let Fate::Split { flat, .. } = row.fate else { return None };
        let frame = row.replaced.unwrap_or(row.frame);
        let whole = &self.data[flat as usize..][..frame.length as usize];
        Some((Segments::new(&frame, whole), whole))
    }

    /// Whether a frame is still to be judged, and all words of a selection hold for it.
    pub fn selects(
        &self,
        row: usize,
        words: &Selection,
        buffer: &[u8],
        slices: &[Slice],
        peers: &PeerNames,
    ) -> bool {
        let Some(Row { frame, origin, replaced, fate: Fate::Keep, .. }) = self.rows.get(row) else {
            return false;
        };
        match (replaced, origin) {
            (Some(replaced), _) => words.holds(replaced, &self.data, &[], peers),
            (None, Origin::Batch) => words.holds(frame, buffer, slices, peers),
            (None, Origin::Segment { .. }) => {
                let bytes = self.bytes(row, buffer, slices).unwrap_or_default();
                words.holds(&Frame { offset: 0, ..*frame }, &bytes, &[], peers)
            }
        }
    }

    // Verdicts

    /// The row ends here. Nothing changes where it ended before.
    ///
    /// # Errors
    /// Where there is no such row.
    pub fn drop(&mut self, row: usize, reason: Reason) -> Result<(), Refused> {
        let row = self.rows.get_mut(row).ok_or(Refused::NoRow)?;
        if row.fate == Fate::Keep {
            row.fate = Fate::Drop(reason);
            self.changed = true;
        }
        Ok(())
    }

    /// Other bytes for the row.
    ///
    /// # Errors
    /// Where the row is gone, or the bytes are no packet.
    pub fn replace(&mut self, row: usize, bytes: &[u8]) -> Result<(), Refused> {
        let mtu = self.mtu;
        let segment_size = self.alive(row)?.frame.segment_size;
        let mut frame = self.write(bytes, Cut { segment_size, mtu })?;
        let row = &mut self.rows[row];
        let was = row.frame;
        frame.mark = was.mark;
        frame.peer = match self.direction {
            Direction::Outbound if destination(&frame) != destination(&was) => NO_PEER,
            _ => was.peer,
        };
        row.replaced = Some(frame);
        self.changed = true;
        Ok(())
    }

    /// A packet of the stage's own, before a row, or (with the number of rows) behind all.
    ///
    /// # Errors
    /// Where there is no such row, or the bytes are no packet.
    pub fn insert(&mut self, before: usize, bytes: &[u8]) -> Result<(), Refused> {
        if before > self.rows.len() {
            return Err(Refused::NoRow);
        }
        let frame = self.write(bytes, Cut { segment_size: 0, mtu: self.mtu })?;
        let before = if before == self.rows.len() { u32::MAX } else { before as u32 };
        self.inserted.push((before, frame));
        self.changed = true;
        Ok(())
    }

    /// Drops the row and sends a packet the other way.
    ///
    /// # Errors
    /// Where the row is gone, or the bytes are no packet.
    pub fn answer(&mut self, row: usize, bytes: &[u8]) -> Result<(), Refused> {
        self.alive(row)?;
        let mut bytes = bytes.to_vec();
        let cut = Cut { segment_size: 0, mtu: self.mtu };
        let frame = repair(&mut bytes, cut).map_err(Refused::Unfit)?;
        self.answers.push((frame, bytes));
        self.drop(row, Reason::ANSWERED)
    }

    /// Takes the row out, for the stage to keep.
    ///
    /// # Errors
    /// Where the row is gone.
    pub fn hold(
        &mut self,
        row: usize,
        buffer: &[u8],
        slices: &[Slice],
    ) -> Result<(Frame, Vec<u8>), Refused> {
        self.alive(row)?;
        let bytes = self.bytes(row, buffer, slices).ok_or(Refused::NoRow)?.into_owned();
        let held = &mut self.rows[row];
        let mut frame = Frame { offset: 0, slices: 0, ..held.replaced.unwrap_or(held.frame) };
        if let Origin::Segment { .. } = held.origin {
            frame.length = bytes.len() as u32;
        }
        if let Some(ecn) = held.ecn {
            frame.ds = frame.ds & !0b11 | ecn;
        }
        held.fate = Fate::Hold;
        self.changed = true;
        Ok((frame, bytes))
    }

    /// Puts a row back that was held in this same call.
    fn put_back(&mut self, row: usize) {
        if let Some(row) = self.rows.get_mut(row).filter(|row| row.fate == Fate::Hold) {
            row.fate = Fate::Keep;
        }
    }

    /// Replaces the row by its segments: rows behind all others, which leave in its place. A row of
    /// one segment stays itself.
    ///
    /// # Errors
    /// Where the row is gone.
    pub fn split(
        &mut self,
        row: usize,
        buffer: &[u8],
        slices: &[Slice],
    ) -> Result<Range<usize>, Refused> {
        self.alive(row)?;
        let Row { frame, replaced, ecn, .. } = self.rows[row];
        let whole = replaced.unwrap_or(frame);
        if whole.segments <= 1 {
            return Ok(row..row + 1);
        }
        let bytes = self.bytes(row, buffer, slices).ok_or(Refused::NoRow)?.into_owned();
        let segments = Segments::new(&whole, &bytes);
        let (first, count) = (self.rows.len(), segments.count());
        for number in 0..count {
            let last = number + 1 == count;
            let segment = Frame {
                tcp_flags: segment_flags(whole.tcp_flags, number == 0, last),
                length: segments.length(number) as u32,
                segments: 1,
                segment_size: 0,
                slices: 0,
                flags: whole.flags & !crate::frame::flags::PARTIAL_CHECKSUM,
                ..whole
            };
            let origin = Origin::Segment { parent: row as u32, number: number as u32 };
            self.rows.push(Row { origin, ecn, ..Row::new(segment) });
        }
        let flat = self.data.len() as u32;
        self.data.extend_from_slice(&bytes);
        let (at, count) = (first as u32, count as u32);
        self.rows[row].fate = Fate::Split { first: at, count, flat };
        self.changed = true;
        Ok(first..self.rows.len())
    }

    /// Writes a number on the row.
    ///
    /// # Errors
    /// Where there is no such row.
    pub fn mark(&mut self, row: usize, mark: u32) -> Result<(), Refused> {
        let row = self.rows.get_mut(row).ok_or(Refused::NoRow)?;
        row.frame.mark = mark;
        if let Some(replaced) = &mut row.replaced {
            replaced.mark = mark;
        }
        self.changed = true;
        Ok(())
    }

    /// Sets the ECN field of all the row's segments.
    ///
    /// # Errors
    /// Where the row is gone.
    pub fn set_ecn(&mut self, row: usize, ecn: u8) -> Result<(), Refused> {
        self.alive(row)?.ecn = Some(ecn & 0b11);
        self.changed = true;
        Ok(())
    }

    fn alive(&mut self, row: usize) -> Result<&mut Row, Refused> {
        let row = self.rows.get_mut(row).ok_or(Refused::NoRow)?;
        if row.fate == Fate::Keep { Ok(row) } else { Err(Refused::Gone) }
    }

    /// A stage's bytes, repaired, in `data`.
    fn write(&mut self, bytes: &[u8], cut: Cut) -> Result<Frame, Refused> {
        let offset = self.data.len();
        self.data.extend_from_slice(bytes);
        match repair(&mut self.data[offset..], cut) {
            Ok(frame) => Ok(Frame { offset: offset as u32, ..frame }),
            Err(unfit) => {
                self.data.truncate(offset);
                Err(Refused::Unfit(unfit))
            }
        }
    }

    /// The call failed: what is not held is dropped, or goes on as it came in `batch`. A frame of which
    /// segments are held stays split.
    pub fn fail(&mut self, pass: bool, batch: &[Frame], selected: &[u32]) {
        let fate = if pass { Fate::Keep } else { Fate::Drop(Reason::RAISED) };
        for number in 0..self.rows.len() {
            let is_held = |row: &Row| row.fate == Fate::Hold;
            match (self.rows[number].fate, selected.get(number)) {
                (Fate::Hold, _) => {}
                (Fate::Split { first, count, .. }, _)
                    if self.rows[first as usize..][..count as usize].iter().any(is_held) => {}
                (_, Some(&index)) => {
                    self.rows[number] = Row { fate, ..Row::new(batch[index as usize]) };
                }
                (_, None) => {
                    let row = &mut self.rows[number];
                    (row.replaced, row.ecn, row.fate) = (None, None, fate);
                }
            }
        }
        self.inserted.clear();
        self.answers.clear();
        self.changed = true;
    }

    // What follows

    /// Lays out the batch behind this stage. `emitted` are frames of this direction that the stage
    /// sent on, of which those that were held in this `call` go back to their places.
    pub fn finish(
        &mut self,
        loan: &mut Loan,
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
            self.emit(emission, loan, &mut kept);
        }
        let frames = std::mem::take(&mut loan.batch.frames);
        let mut shown = 0;
        for (index, frame) in frames.iter().enumerate() {
            if selected.get(shown) == Some(&(index as u32)) {
                self.place(shown, loan, &mut kept);
                shown += 1;
            } else {
                kept.push(*frame);
            }
        }
        self.place_inserted(u32::MAX, loan, &mut kept);
        loan.batch.frames = kept;
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

    fn emit(&mut self, emission: Emission, loan: &mut Loan, kept: &mut Vec<Frame>) {
        let Emission { frame, bytes, held, .. } = emission;
        let segments = u64::from(frame.segments);
        match loan.buffer.append(&bytes) {
            Some(offset) => kept.push(Frame { offset, slices: 0, ..frame }),
            // Booked as made, then dropped: what was held and is sent on was in the path's queue.
            None => self.book_drop(loan, frame.peer, segments, Reason::NO_ROOM),
        }
        let from_here = held.as_ref().is_some_and(|held| held.direction == self.direction);
        if !from_here {
            self.book_created(loan, frame.peer, segments);
        }
    }

    fn place(&mut self, row: usize, loan: &mut Loan, kept: &mut Vec<Frame>) {
        self.place_inserted(row as u32, loan, kept);
        let Row { frame, replaced, fate, .. } = self.rows[row];
        let segments = u64::from(frame.segments);
        match fate {
            Fate::Hold => {
                if let Some(replaced) = replaced {
                    self.book_replaced(loan, &frame, &replaced);
                }
            }
            Fate::Drop(reason) => self.book_drop(loan, frame.peer, segments, reason),
            Fate::Split { first, count, .. } => {
                if let Some(replaced) = replaced {
                    self.book_replaced(loan, &frame, &replaced);
                }
                for segment in first..first + count {
                    self.place(segment as usize, loan, kept);
                }
            }
            Fate::Keep => self.keep(row, loan, kept),
        }
    }

    fn keep(&mut self, row: usize, loan: &mut Loan, kept: &mut Vec<Frame>) {
        let Row { frame, origin, replaced, ecn, .. } = self.rows[row];
        let (mut frame, segments) = match (replaced, origin) {
            (Some(replaced), _) => {
                self.book_replaced(loan, &frame, &replaced);
                let offset = loan.buffer.append(replaced.bytes(&self.data));
                (Frame { offset: offset.unwrap_or(u32::MAX), ..replaced }, replaced.segments)
            }
            (None, Origin::Segment { parent, number }) => {
                let Some((segments, whole)) = self.parent(parent) else { return };
                let number = number as usize;
                let offset = loan.buffer.append_with(segments.length(number), |room| {
                    segments.write(number, whole, room);
                });
                (Frame { offset: offset.unwrap_or(u32::MAX), ..frame }, 1)
            }
            (None, Origin::Batch) => (frame, frame.segments),
        };
        if frame.offset == u32::MAX {
            return self.book_drop(loan, frame.peer, u64::from(segments), Reason::NO_ROOM);
        }
        if let Some(ecn) = ecn {
            let head = pieces(&frame, &loan.batch.slices, &mut [Slice { offset: 0, length: 0 }])[0];
            ip::set_ecn(loan.buffer.change(head.offset, head.length), ecn);
            frame.ds = frame.ds & !0b11 | ecn;
        }
        kept.push(frame);
    }

    fn place_inserted(&mut self, before: u32, loan: &mut Loan, kept: &mut Vec<Frame>) {
        if self.inserted.is_empty() {
            return;
        }
        let first = self.inserted.partition_point(|(at, _)| *at < before);
        let last = self.inserted.partition_point(|(at, _)| *at <= before);
        for number in first..last {
            let frame = self.inserted[number].1;
            let segments = u64::from(frame.segments);
            self.book_created(loan, frame.peer, segments);
            match loan.buffer.append(frame.bytes(&self.data)) {
                Some(offset) => kept.push(Frame { offset, ..frame }),
                None => self.book_drop(loan, frame.peer, segments, Reason::NO_ROOM),
            }
        }
    }

    /// A frame that goes elsewhere is dropped for one peer and made for another; one with more or
    /// fewer segments made or lost the difference.
    fn book_replaced(&mut self, loan: &mut Loan, was: &Frame, is: &Frame) {
        let (before, after) = (u64::from(was.segments), u64::from(is.segments));
        if was.peer != is.peer {
            self.book_drop(loan, was.peer, before, Reason::REROUTED);
            self.book_created(loan, is.peer, after);
        } else if after > before {
            self.book_created(loan, is.peer, after - before);
        } else if before > after {
            self.book_drop(loan, is.peer, before - after, Reason::REPLACED);
        }
    }

    fn book_drop(&mut self, loan: &mut Loan, peer: u32, segments: u64, reason: Reason) {
        match self.dropped.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, count)) => *count += segments,
            None => self.dropped.push((reason, segments)),
        }
        book(loan, peer, segments, false);
    }

    fn book_created(&mut self, loan: &mut Loan, peer: u32, segments: u64) {
        self.created += segments;
        book(loan, peer, segments, true);
    }
}

impl Default for Edits {
    fn default() -> Self {
        Self::new()
    }
}

impl Row {
    fn new(frame: Frame) -> Self {
        Self { frame, origin: Origin::Batch, replaced: None, ecn: None, fate: Fate::Keep }
    }
}

/// Adds to the loan's bookings, one entry a peer and kind in a row.
fn book(loan: &mut Loan, peer: u32, segments: u64, created: bool) {
    let peer = PeerId(peer);
    match loan.bookings.last_mut().filter(|last| last.peer == peer && last.created == created) {
        Some(last) => last.segments += segments,
        None => loan.bookings.push(Booking { peer, segments, created }),
    }
}

/// A segment's TCP flags, as the splitter writes them.
fn segment_flags(whole: u8, first: bool, last: bool) -> u8 {
    let without = if first { 0 } else { tcp::CWR } | if last { 0 } else { tcp::FIN | tcp::PSH };
    whole & !without
}

fn destination(frame: &Frame) -> (u8, [u8; 16]) {
    (frame.version, frame.destination)
}

fn gather(frame: &Frame, buffer: &[u8], slices: &[Slice]) -> Vec<u8> {
    let mut whole = [Slice { offset: 0, length: 0 }];
    let mut bytes = Vec::with_capacity(frame.length as usize);
    for slice in pieces(frame, slices, &mut whole) {
        bytes.extend_from_slice(&buffer[slice.offset as usize..][..slice.length as usize]);
    }
    bytes
}
