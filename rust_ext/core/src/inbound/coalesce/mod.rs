//! coalesce: merges segments of a flow into one frame, without copying payload.
//!
//! In: the packets of a drain in order of arrival, their transport checksums not verified. Out: the same packets
//! in fewer frames; a merged frame is its first packet and slices of the others' payload. Drops: nothing; a packet
//! that cannot merge passes unchanged.
//! Order: a segment may extend only the newest frame of its flow, and only while that is open. A packet that cannot
//! merge closes it; one whose flow is unknown closes every frame between its two addresses.
//! Time: frames are merged within one drain only.

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

/// The protocols to merge: those that the TUN supports and the operator allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CoalesceOptions {
    /// TCP over IPv4.
    pub tcp4: bool,
    /// TCP over IPv6.
    pub tcp6: bool,
    /// UDP over both.
    pub udp: bool,
    /// A segment with PSH closes its frame; otherwise the merged header has PSH.
    pub psh_closes: bool,
}

/// The stage. Its vectors keep their capacity from drain to drain.
pub struct Coalesce {
    options: CoalesceOptions,
    flows: FlowTable,
    /// All frames that were opened in this drain, closed or not.
    opened: Vec<OpenFrame>,
    /// All packets that were merged into a frame, in order of arrival.
    merged: Vec<Merged>,
    /// The frame that was extended or opened last: in bulk traffic the next packet belongs to it as well.
    last: Option<u32>,
}

/// The payload of a merged packet, and its frame.
struct Merged {
    opened: u32,
    payload: Slice,
}

impl Coalesce {
    /// Creates a stage. `seed` must be random, so that no attacker can make flows collide in the flow table.
    pub fn new(options: CoalesceOptions, seed: u64) -> Self {
        let flows = FlowTable::new(seed);
        Self { options, flows, opened: Vec::new(), merged: Vec::new(), last: None }
    }

    /// Sets the protocols to merge from now on.
    pub fn set_options(&mut self, options: CoalesceOptions) {
        self.options = options;
    }

    /// Merges the packets of one drain. In `buffer`, only headers of merged frames change.
    pub fn process(&mut self, batch: &mut FrameBatch, buffer: &mut [u8]) {
        self.flows.begin();
        self.opened.clear();
        self.merged.clear();
        self.last = None;
        let mut rows = 0;
        for i in 0..batch.frames.len() {
            let (before, rest) = batch.frames.split_at(i);
            if !self.merge(&rest[0], &before[..rows], buffer) {
                if rows < i {
                    batch.frames[rows] = batch.frames[i];
                }
                rows += 1;
            }
        }
        batch.frames.truncate(rows);
        self.finish(batch, buffer);
    }

    /// Merges a packet into one of the rows before it. Returns false if it becomes a row of its own.
    fn merge(&mut self, frame: &Frame, rows: &[Frame], buffer: &[u8]) -> bool {
        if frame.flags & flags::NO_FLOW != 0 {
            self.flows.add_fence(frame, rows.len());
            return false;
        }
        if !self.is_enabled(frame) {
            return false;
        }
        let place = self.find(frame, rows);
        let Some(segment) = Segment::read(frame, buffer) else {
            if let Place::Taken { opened, .. } = place {
                self.opened[opened as usize].close();
            }
            return false;
        };
        match place {
            Place::Taken { opened, slot } => {
                let newest = &mut self.opened[opened as usize];
                if self.flows.has_fence(frame, newest.row()) {
                    newest.close();
                }
                match newest.extend(&segment, frame, rows, buffer, self.options.psh_closes) {
                    Extension::Merged => {
                        self.last = Some(opened);
                        self.merged.push(Merged { opened, payload: segment.payload() });
                        return true;
                    }
                    Extension::Refused => self.open(slot, frame, &segment, rows.len()),
                    Extension::Damaged => {}
                }
            }
            Place::Free { slot } => self.open(slot, frame, &segment, rows.len()),
            Place::Full => {}
        }
        false
    }

    fn is_enabled(&self, frame: &Frame) -> bool {
        match (frame.protocol, frame.version) {
            (tcp::PROTOCOL, 4) => self.options.tcp4,
            (tcp::PROTOCOL, _) => self.options.tcp6,
            (udp::PROTOCOL, _) => self.options.udp,
            _ => false,
        }
    }

    fn find(&mut self, frame: &Frame, rows: &[Frame]) -> Place {
        let opened = &self.opened;
        let same = |number: u32| same_flow(&rows[opened[number as usize].row()], frame);
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

    /// Writes the headers of merged frames, and their slices, which are contiguous for each frame.
    fn finish(&mut self, batch: &mut FrameBatch, buffer: &mut [u8]) {
        if self.merged.is_empty() {
            return;
        }
        let FrameBatch { frames, slices, .. } = batch;
        for open in &mut self.opened {
            open.finish(&mut frames[open.row()], slices, buffer);
        }
        for Merged { opened, payload } in &self.merged {
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
