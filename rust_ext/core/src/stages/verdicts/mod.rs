//! verdicts: what one stage says of the frames it was shown, and the batch that follows from it.
//!
//! In: the rows that a stage was shown, its verdicts, packets it made. Out: the same, for `layout` to
//! make a batch of. Drops: nothing yet. Order: rows keep their numbers; segments of a split frame get
//! numbers behind all others, and take its place.

mod apply;

use std::{borrow::Cow, ops::Range};

use super::{
    filter::{Filter, PeerNames},
    fixup::{Cut, Unfit, fixup},
    state::Reason,
};
use crate::stage_api::Direction;
use crate::{
    frame::{Frame, NO_PEER, Slice},
    packet::{ip, pieces::pieces, split::Segments, tcp},
};

/// The verdicts of one call, in the making.
#[derive(Debug)]
pub struct Verdicts {
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

impl Verdicts {
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

    /// Whether a frame is still to be judged, and all words of a filter hold for it.
    pub fn selects(
        &self,
        row: usize,
        words: &Filter,
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
        let frame = fixup(&mut bytes, cut).map_err(Refused::Unfit)?;
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
        match fixup(&mut self.data[offset..], cut) {
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
        // Backwards, segments before what they were split from: who is still split then, has held ones.
        let has_held = |row: &Row| matches!(row.fate, Fate::Hold | Fate::Split { .. });
        for number in (0..self.rows.len()).rev() {
            match (self.rows[number].fate, selected.get(number)) {
                (Fate::Hold, _) => {}
                (Fate::Split { first, count, .. }, _)
                    if self.rows[first as usize..][..count as usize].iter().any(has_held) => {}
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
}

impl Default for Verdicts {
    fn default() -> Self {
        Self::new()
    }
}

impl Row {
    fn new(frame: Frame) -> Self {
        Self { frame, origin: Origin::Batch, replaced: None, ecn: None, fate: Fate::Keep }
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
