//! The newest frame of each flow in a drain, in a table of fixed size.
//!
//! Nothing is removed within a drain, so a flow that was found once is always found. A flow whose few slots are taken
//! by others is not merged. A packet of unknown flow sets a fence: frames before it must not be extended by packets
//! after it.

use crate::frame::Frame;

/// A drain of 256 KiB with more flows than this has nothing to merge anyway.
const SLOTS: usize = 1024;
/// Slots that are probed for one flow.
const PROBES: usize = 8;
/// Pairs of addresses share fences: a collision only prevents a merge.
const FENCES: usize = 256;

pub(super) struct FlowTable {
    seed: u64,
    /// The number of the drain; slots of other drains are free.
    stamp: u32,
    slots: Box<[Slot]>,
    /// Rows before this one are closed for the pair of addresses.
    fences: Box<[u32]>,
    any_fence: bool,
}

#[derive(Clone, Copy)]
struct Slot {
    stamp: u32,
    hash: u32,
    opened: u32,
}

/// The result of a look-up.
#[derive(Clone, Copy)]
pub(super) enum Place {
    /// The newest frame of the flow.
    Taken { opened: u32, slot: u32 },
    /// The flow has no frame yet and may use this slot.
    Free { slot: u32 },
    /// The flow has no frame, and no slot is free.
    Full,
}

impl FlowTable {
    pub(super) fn new(seed: u64) -> Self {
        let slot = Slot { stamp: 0, hash: 0, opened: 0 };
        Self {
            seed,
            stamp: 0,
            slots: vec![slot; SLOTS].into(),
            fences: vec![0; FENCES].into(),
            any_fence: false,
        }
    }

    /// Removes all flows and fences, for a new drain.
    pub(super) fn begin(&mut self) {
        self.stamp = self.stamp.wrapping_add(1);
        if self.stamp == 0 {
            self.slots.fill(Slot { stamp: 0, hash: 0, opened: 0 });
            self.stamp = 1;
        }
        if self.any_fence {
            self.fences.fill(0);
            self.any_fence = false;
        }
    }

    /// Looks up the flow of a packet; `same` returns whether a frame is of that flow. A free slot is taken by `set`,
    /// which must be called before the next look-up.
    pub(super) fn find(&mut self, frame: &Frame, same: impl Fn(u32) -> bool) -> Place {
        let hash = self.flow_hash(frame);
        for probe in 0..PROBES {
            let at = (hash as usize + probe) % SLOTS;
            let slot = &mut self.slots[at];
            if slot.stamp != self.stamp {
                slot.hash = hash;
                return Place::Free { slot: at as u32 };
            }
            if slot.hash == hash && same(slot.opened) {
                return Place::Taken { opened: slot.opened, slot: at as u32 };
            }
        }
        Place::Full
    }

    /// Sets the newest frame of the flow that was found at `slot`.
    pub(super) fn set(&mut self, slot: u32, opened: u32) {
        let slot = &mut self.slots[slot as usize];
        slot.stamp = self.stamp;
        slot.opened = opened;
    }

    /// Closes all rows before `row` for the packet's pair of addresses.
    pub(super) fn add_fence(&mut self, frame: &Frame, row: usize) {
        let at = self.pair_hash(frame) as usize % FENCES;
        self.fences[at] = row as u32;
        self.any_fence = true;
    }

    /// Whether there is a fence between `row` and this packet.
    pub(super) fn has_fence(&self, frame: &Frame, row: usize) -> bool {
        self.any_fence && (row as u32) < self.fences[self.pair_hash(frame) as usize % FENCES]
    }

    fn flow_hash(&self, frame: &Frame) -> u32 {
        let ports = u64::from(frame.source_port) << 16 | u64::from(frame.destination_port);
        let rest = u64::from(frame.peer) << 32 | ports;
        let hash = mix(self.pair_hash(frame) ^ rest, self.seed ^ u64::from(frame.protocol));
        (hash >> 32) as u32
    }

    fn pair_hash(&self, frame: &Frame) -> u64 {
        let [a, b] = halves(&frame.source);
        let [c, d] = halves(&frame.destination);
        mix(a ^ self.seed, b ^ MULTIPLIER) ^ mix(c ^ self.seed.rotate_left(32), d ^ !MULTIPLIER)
    }
}

/// 2^64 divided by the golden ratio, odd.
const MULTIPLIER: u64 = 0x9E37_79B9_7F4A_7C15;

/// Folds a wide product, so that every bit depends on both factors.
fn mix(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64 ^ (product >> 64) as u64).wrapping_mul(MULTIPLIER)
}

fn halves(address: &[u8; 16]) -> [u64; 2] {
    let value = u128::from_ne_bytes(*address);
    [value as u64, (value >> 64) as u64]
}
