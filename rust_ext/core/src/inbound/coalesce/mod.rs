//! coalesce: segments of a flow become one frame again, without copying payload.
//!
//! In: a drain's rows, each one packet, in order of arrival, transport checksums not verified. Out:
//! the same packets in fewer rows; a merged row is the first packet and slices of the others'
//! payload. Drops nothing: what cannot merge passes untouched. Order: a segment may extend only the
//! newest frame of its flow, and only while that is open; a packet that cannot merge closes it; one
//! whose flow cannot be read closes every frame between its two addresses (design §3.3).
//!
//! The window is one drain: nothing is remembered from one to the next.

mod flow_table;
mod open_frame;
mod segment;
#[cfg(test)]
mod tests;

use crate::{
    frame::{Frame, FrameBatch, Slice, flags},
    packet::{tcp, udp},
};
use flow_table::{FlowTable, Place};
use open_frame::{Extension, OpenFrame};
use segment::Segment;

/// What is merged: what the TUN takes, and the operator wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CoalesceOptions {
    /// TCP over IPv4.
    pub tcp4: bool,
    /// TCP over IPv6.
    pub tcp6: bool,
    /// UDP over both.
    pub udp: bool,
    /// A segment with PSH closes its frame; otherwise the merged header carries PSH on.
    pub psh_closes: bool,
}

/// The stage. Its room is kept from drain to drain.
pub struct Coalesce {
    options: CoalesceOptions,
    flows: FlowTable,
    /// Every frame that was opened in this drain, closed or not.
    opened: Vec<OpenFrame>,
    /// Every packet that joined another, in order of arrival.
    joined: Vec<Joined>,
    /// The frame that was extended or opened last: in bulk the next packet is its as well.
    last: Option<u32>,
}

/// A packet's payload, and the frame that it joined.
struct Joined {
    opened: u32,
    payload: Slice,
}

impl Coalesce {
    /// A stage that merges what `options` say. `seed` is random: it keeps strangers from aiming at
    /// one place of the flow table.
    pub fn new(options: CoalesceOptions, seed: u64) -> Self {
        let flows = FlowTable::new(seed);
        Self { options, flows, opened: Vec::new(), joined: Vec::new(), last: None }
    }

    /// What is merged from now on.
    pub fn set_options(&mut self, options: CoalesceOptions) {
        self.options = options;
    }

    /// Merges one drain. Only headers of merged frames are changed in `buffer`.
    pub fn process(&mut self, batch: &mut FrameBatch, buffer: &mut [u8]) {
        self.flows.begin();
        self.opened.clear();
        self.joined.clear();
        self.last = None;
        let mut kept = 0;
        for i in 0..batch.frames.len() {
            let (before, rest) = batch.frames.split_at(i);
            if !self.joins(&rest[0], &before[..kept], buffer) {
                if kept < i {
                    batch.frames[kept] = batch.frames[i];
                }
                kept += 1;
            }
        }
        batch.frames.truncate(kept);
        self.finish(batch, buffer);
    }

    /// Finds a packet's place among the rows that are kept: joined to one of them, or (false) a row
    /// of its own behind them.
    fn joins(&mut self, frame: &Frame, kept: &[Frame], buffer: &[u8]) -> bool {
        if frame.flags & flags::NO_FLOW != 0 {
            self.flows.fence(frame, kept.len());
            return false;
        }
        if !self.wants(frame) {
            return false;
        }
        let place = self.find(frame, kept);
        let Some(segment) = Segment::read(frame, buffer) else {
            if let Place::Taken { opened, .. } = place {
                self.opened[opened as usize].close();
            }
            return false;
        };
        match place {
            Place::Taken { opened, slot } => {
                let newest = &mut self.opened[opened as usize];
                if self.flows.fenced(frame, newest.row()) {
                    newest.close();
                }
                match newest.extend(&segment, frame, kept, buffer, self.options.psh_closes) {
                    Extension::Joined => {
                        self.last = Some(opened);
                        self.joined.push(Joined { opened, payload: segment.payload() });
                        return true;
                    }
                    Extension::Refused => self.open(slot, frame, &segment, kept.len()),
                    Extension::Damaged => {}
                }
            }
            Place::Free { slot } => self.open(slot, frame, &segment, kept.len()),
            Place::Full => {}
        }
        false
    }

    fn wants(&self, frame: &Frame) -> bool {
        match (frame.protocol, frame.version) {
            (tcp::PROTOCOL, 4) => self.options.tcp4,
            (tcp::PROTOCOL, _) => self.options.tcp6,
            (udp::PROTOCOL, _) => self.options.udp,
            _ => false,
        }
    }

    fn find(&mut self, frame: &Frame, kept: &[Frame]) -> Place {
        let opened = &self.opened;
        let same = |number: u32| same_flow(&kept[opened[number as usize].row()], frame);
        match self.last.filter(|&last| same(last)) {
            Some(last) => Place::Taken { opened: last, slot: opened[last as usize].slot() },
            None => self.flows.find(frame, same),
        }
    }

    fn open(&mut self, slot: u32, frame: &Frame, segment: &Segment, row: usize) {
        let opened = self.opened.len() as u32;
        self.flows.set(slot, opened);
        self.opened.push(OpenFrame::new(slot, row, frame, segment, self.options.psh_closes));
        self.last = Some(opened);
    }

    /// Lays out the slices of merged frames, each frame's side by side, and writes their headers.
    fn finish(&mut self, batch: &mut FrameBatch, buffer: &mut [u8]) {
        if self.joined.is_empty() {
            return;
        }
        let FrameBatch { frames, slices, .. } = batch;
        for open in &mut self.opened {
            open.finish(&mut frames[open.row()], slices, buffer);
        }
        for Joined { opened, payload } in &self.joined {
            slices[self.opened[*opened as usize].next_slice()] = *payload;
        }
    }
}

fn same_flow(a: &Frame, b: &Frame) -> bool {
    a.source_port == b.source_port
        && a.destination_port == b.destination_port
        && a.protocol == b.protocol
        && a.version == b.version
        && a.peer == b.peer
        && a.source == b.source
        && a.destination == b.destination
}
