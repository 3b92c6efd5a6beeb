//! verdicts: what a stage decides about the frames of one call, and the batch that follows from it (`apply`).
//!
//! A row is a frame that the stage was shown. Segments of a split frame become rows behind all others, so row
//! numbers stay valid; they leave in place of the frame.

mod apply;
mod row;

use std::{borrow::Cow, ops::Range};

pub use self::row::VerdictError;
use self::row::{Origin, Row, Verdict};
use super::{
    filter::{Filter, PeerKeys},
    fixup::{Segmentation, fixup},
    state::Reason,
};
use crate::stage_api::Direction;
use crate::{
    frame::{Frame, NO_PEER, Slice, flags},
    packet::{ip, pieces::pieces, split::Segments, tcp},
};

/// The verdicts of one call. Reused from call to call.
#[derive(Debug)]
pub struct Verdicts {
    direction: Direction,
    mtu: usize,
    rows: Vec<Row>,
    /// Bytes that the stage wrote, and frames that it split.
    data: Vec<u8>,
    /// Frames that the stage inserted, in `data`, each with the row that it goes before.
    inserted: Vec<(u32, Frame)>,
    answers: Vec<(Frame, Vec<u8>)>,
    /// Whether the batch has to be laid out anew.
    changed: bool,
    /// The frames of the next batch; empty between calls.
    output: Vec<Frame>,
    /// Segments dropped, by reason, for the stage's counters.
    pub dropped: Vec<(Reason, u64)>,
    /// Segments created, for the stage's counters.
    pub created: u64,
}

impl Verdicts {
    /// Returns verdicts without rows; see [`Self::begin`].
    pub fn new() -> Self {
        Self {
            direction: Direction::Outbound,
            mtu: 0,
            rows: Vec::new(),
            data: Vec::new(),
            inserted: Vec::new(),
            answers: Vec::new(),
            changed: false,
            output: Vec::new(),
            dropped: Vec::new(),
            created: 0,
        }
    }

    /// Starts a call with the selected frames of a batch as rows.
    pub fn begin(&mut self, direction: Direction, mtu: usize, batch: &[Frame], selected: &[u32]) {
        self.direction = direction;
        self.mtu = mtu;
        self.rows.clear();
        self.rows.extend(selected.iter().map(|&index| Row::new(batch[index as usize])));
        self.data.clear();
        self.inserted.clear();
        self.answers.clear();
        self.dropped.clear();
        self.created = 0;
        self.changed = false;
    }

    /// Returns the number of rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Returns the path that the rows are on.
    pub fn direction(&self) -> Direction {
        self.direction
    }

    /// Returns a row's frame, or the one that replaces it.
    pub fn frame(&self, row: usize) -> Option<&Frame> {
        self.rows.get(row).map(|row| row.replaced.as_ref().unwrap_or(&row.frame))
    }

    /// Returns the frames of all rows as the stage was shown them.
    pub fn frames(&self) -> impl ExactSizeIterator<Item = &Frame> {
        self.rows.iter().map(|row| &row.frame)
    }

    /// Returns a row's current bytes, borrowed if they are contiguous.
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

    /// Returns a split row's segments and bytes.
    fn parent(&self, row: u32) -> Option<(Segments, &[u8])> {
        let row = self.rows.get(row as usize)?;
        let Verdict::Split { offset, .. } = row.verdict else { return None };
        let frame = row.replaced.unwrap_or(row.frame);
        let bytes = &self.data[offset as usize..][..frame.length as usize];
        Some((Segments::new(&frame, bytes), bytes))
    }

    /// Whether a row is still undecided and matches a filter.
    pub fn matches(
        &self,
        row: usize,
        filter: &Filter,
        buffer: &[u8],
        slices: &[Slice],
        peers: &PeerKeys,
    ) -> bool {
        let Some(Row { frame, origin, replaced, verdict: Verdict::Keep, .. }) = self.rows.get(row)
        else {
            return false;
        };
        match (replaced, origin) {
            (Some(replaced), _) => filter.matches(replaced, &self.data, &[], peers),
            (None, Origin::Batch) => filter.matches(frame, buffer, slices, peers),
            (None, Origin::Segment { .. }) => {
                let bytes = self.bytes(row, buffer, slices).unwrap_or_default();
                filter.matches(&Frame { offset: 0, ..*frame }, &bytes, &[], peers)
            }
        }
    }

    // Verdicts

    /// Drops a row, unless it is already decided.
    ///
    /// # Errors
    /// If there is no such row.
    pub fn drop(&mut self, row: usize, reason: Reason) -> Result<(), VerdictError> {
        let row = self.rows.get_mut(row).ok_or(VerdictError::NoSuchRow)?;
        if row.verdict == Verdict::Keep {
            row.verdict = Verdict::Drop(reason);
            self.changed = true;
        }
        Ok(())
    }

    /// Replaces a row's bytes.
    ///
    /// # Errors
    /// If the row is decided, or the bytes are not a packet.
    pub fn replace(&mut self, row: usize, bytes: &[u8]) -> Result<(), VerdictError> {
        let mtu = self.mtu;
        let segment_size = self.undecided(row)?.frame.segment_size;
        let mut frame = self.write(bytes, Segmentation { segment_size, mtu })?;
        let row = &mut self.rows[row];
        let before = row.frame;
        frame.mark = before.mark;
        frame.peer = match self.direction {
            Direction::Outbound if destination(&frame) != destination(&before) => NO_PEER,
            _ => before.peer,
        };
        row.replaced = Some(frame);
        self.changed = true;
        Ok(())
    }

    /// Inserts a packet before a row; with `before` equal to the number of rows, behind all.
    ///
    /// # Errors
    /// If there is no such row, or the bytes are not a packet.
    pub fn insert(&mut self, before: usize, bytes: &[u8]) -> Result<(), VerdictError> {
        if before > self.rows.len() {
            return Err(VerdictError::NoSuchRow);
        }
        let frame = self.write(bytes, Segmentation { segment_size: 0, mtu: self.mtu })?;
        let before = if before == self.rows.len() { u32::MAX } else { before as u32 };
        self.inserted.push((before, frame));
        self.changed = true;
        Ok(())
    }

    /// Drops a row and sends a packet in the other direction.
    ///
    /// # Errors
    /// If the row is decided, or the bytes are not a packet.
    pub fn answer(&mut self, row: usize, bytes: &[u8]) -> Result<(), VerdictError> {
        self.undecided(row)?;
        let mut bytes = bytes.to_vec();
        let segmentation = Segmentation { segment_size: 0, mtu: self.mtu };
        let frame = fixup(&mut bytes, segmentation).map_err(VerdictError::InvalidPacket)?;
        self.answers.push((frame, bytes));
        self.drop(row, Reason::ANSWERED)
    }

    /// Takes a row out of the batch. Returns its frame and bytes.
    ///
    /// # Errors
    /// If the row is decided.
    pub fn hold(
        &mut self,
        row: usize,
        buffer: &[u8],
        slices: &[Slice],
    ) -> Result<(Frame, Vec<u8>), VerdictError> {
        self.undecided(row)?;
        let bytes = self.bytes(row, buffer, slices).ok_or(VerdictError::NoSuchRow)?.into_owned();
        let held = &mut self.rows[row];
        let mut frame = Frame { offset: 0, slices: 0, ..held.replaced.unwrap_or(held.frame) };
        if let Origin::Segment { .. } = held.origin {
            frame.length = bytes.len() as u32;
        }
        if let Some(ecn) = held.ecn {
            frame.ds = frame.ds & !0b11 | ecn;
        }
        held.verdict = Verdict::Hold;
        self.changed = true;
        Ok((frame, bytes))
    }

    /// Returns a row that was held in this call to its place.
    fn unhold(&mut self, row: usize) {
        if let Some(row) = self.rows.get_mut(row).filter(|row| row.verdict == Verdict::Hold) {
            row.verdict = Verdict::Keep;
        }
    }

    /// Splits a row into its segments. Returns their rows; a row of one segment stays as it is.
    ///
    /// # Errors
    /// If the row is decided.
    pub fn split(
        &mut self,
        row: usize,
        buffer: &[u8],
        slices: &[Slice],
    ) -> Result<Range<usize>, VerdictError> {
        self.undecided(row)?;
        let Row { frame, replaced, ecn, .. } = self.rows[row];
        let whole = replaced.unwrap_or(frame);
        if whole.segments <= 1 {
            return Ok(row..row + 1);
        }
        let bytes = self.bytes(row, buffer, slices).ok_or(VerdictError::NoSuchRow)?.into_owned();
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
                flags: whole.flags & !flags::PARTIAL_CHECKSUM,
                ..whole
            };
            let origin = Origin::Segment { parent: row as u32, number: number as u32 };
            self.rows.push(Row { origin, ecn, ..Row::new(segment) });
        }
        let offset = self.data.len() as u32;
        self.data.extend_from_slice(&bytes);
        let rows = first..self.rows.len();
        let (first, count) = (first as u32, count as u32);
        self.rows[row].verdict = Verdict::Split { first, count, offset };
        self.changed = true;
        Ok(rows)
    }

    /// Marks a row for the stages behind this one.
    ///
    /// # Errors
    /// If there is no such row.
    pub fn mark(&mut self, row: usize, mark: u32) -> Result<(), VerdictError> {
        let row = self.rows.get_mut(row).ok_or(VerdictError::NoSuchRow)?;
        row.frame.mark = mark;
        if let Some(replaced) = &mut row.replaced {
            replaced.mark = mark;
        }
        self.changed = true;
        Ok(())
    }

    /// Sets the ECN field of all of a row's segments.
    ///
    /// # Errors
    /// If the row is decided.
    pub fn set_ecn(&mut self, row: usize, ecn: u8) -> Result<(), VerdictError> {
        self.undecided(row)?.ecn = Some(ecn & 0b11);
        self.changed = true;
        Ok(())
    }

    fn undecided(&mut self, row: usize) -> Result<&mut Row, VerdictError> {
        let row = self.rows.get_mut(row).ok_or(VerdictError::NoSuchRow)?;
        if row.verdict == Verdict::Keep { Ok(row) } else { Err(VerdictError::AlreadyDecided) }
    }

    /// Appends a packet that the stage wrote to `data`, with lengths and checksums corrected.
    fn write(&mut self, bytes: &[u8], segmentation: Segmentation) -> Result<Frame, VerdictError> {
        let offset = self.data.len();
        self.data.extend_from_slice(bytes);
        match fixup(&mut self.data[offset..], segmentation) {
            Ok(frame) => Ok(Frame { offset: offset as u32, ..frame }),
            Err(error) => {
                self.data.truncate(offset);
                Err(VerdictError::InvalidPacket(error))
            }
        }
    }

    /// Undoes the verdicts of a failed call: what is not held is dropped, or with `pass` goes on as it came
    /// in `batch`. A frame stays split if any of its segments is held.
    pub fn reset(&mut self, pass: bool, batch: &[Frame], selected: &[u32]) {
        let verdict = if pass { Verdict::Keep } else { Verdict::Drop(Reason::RAISED) };
        let is_held = |row: &Row| matches!(row.verdict, Verdict::Hold | Verdict::Split { .. });
        // Backwards, so that segments come before their frame: one that is still split then has held
        // segments.
        for number in (0..self.rows.len()).rev() {
            match (self.rows[number].verdict, selected.get(number)) {
                (Verdict::Hold, _) => {}
                (Verdict::Split { first, count, .. }, _)
                    if self.rows[first as usize..][..count as usize].iter().any(is_held) => {}
                (_, Some(&index)) => {
                    self.rows[number] = Row { verdict, ..Row::new(batch[index as usize]) };
                }
                (_, None) => {
                    let row = &mut self.rows[number];
                    (row.replaced, row.ecn, row.verdict) = (None, None, verdict);
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

/// Returns a segment's TCP flags, as `packet::split` writes them.
fn segment_flags(whole: u8, first: bool, last: bool) -> u8 {
    let cleared = if first { 0 } else { tcp::CWR } | if last { 0 } else { tcp::FIN | tcp::PSH };
    whole & !cleared
}

fn destination(frame: &Frame) -> (u8, [u8; 16]) {
    (frame.version, frame.destination)
}

/// Copies the bytes of a frame that lies in several slices.
fn gather(frame: &Frame, buffer: &[u8], slices: &[Slice]) -> Vec<u8> {
    let mut whole = [Slice { offset: 0, length: 0 }];
    let mut bytes = Vec::with_capacity(frame.length as usize);
    for slice in pieces(frame, slices, &mut whole) {
        bytes.extend_from_slice(&buffer[slice.offset as usize..][..slice.length as usize]);
    }
    bytes
}
