//! Which frame is the newest of a flow: a table of fixed size that lives for one drain.
//!
//! In: rows. Out: the frame that was opened last for the row's flow, or a free slot. Nothing is
//! removed within a drain, so a flow that was found once is always found; where a flow's few slots
//! are taken by others, it is not merged. Fences stand for packets whose flow could not be read:
//! what lies before them must not be extended by what comes after.

use crate::frame::Frame;

/// More flows than this in one drain of 256 KiB leave nothing to merge anyway.
const SLOTS: usize = 1024;
/// Slots that are looked at for one flow.
const PROBES: usize = 8;
/// Pairs of addresses share fences: one too many only means one merge less.
const FENCES: usize = 256;

pub(super) struct FlowTable {
    seed: u64,
    /// The drain that slots must carry to count.
    stamp: u32,
    slots: Box<[Slot]>,
    /// Rows before this one are closed to the pair of addresses.
    fences: Box<[u32]>,
    any_fence: bool,
}

#[derive(Clone, Copy)]
struct Slot {
    stamp: u32,
    hash: u32,
    opened: u32,
}

/// Where a flow's newest frame is, or could be noted.
#[derive(Clone, Copy)]
pub(super) enum Place {
    Taken { opened: u32, slot: u32 },
    Free { slot: u32 },
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

    /// Forgets all flows and fences.
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

    /// Looks a flow up; `same` says whether a frame is of it. The slot of a free place must be
    /// `set` before the next is looked up, or it stays free.
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

    /// Notes the newest frame of the flow that was found at `slot`.
    pub(super) fn set(&mut self, slot: u32, opened: u32) {
        let slot = &mut self.slots[slot as usize];
        slot.stamp = self.stamp;
        slot.opened = opened;
    }

    /// Closes every row before `row` to the packet's pair of addresses.
    pub(super) fn fence(&mut self, frame: &Frame, row: usize) {
        let at = self.pair_hash(frame) as usize % FENCES;
        self.fences[at] = row as u32;
        self.any_fence = true;
    }

    /// Whether a fence stands between `row` and this packet.
    pub(super) fn fenced(&self, frame: &Frame, row: usize) -> bool {
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

/// Odd, half of its bits set: 2^64 divided by the golden ratio.
const MULTIPLIER: u64 = 0x9E37_79B9_7F4A_7C15;

/// Folds a wide product: both factors reach every bit of it.
fn mix(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64 ^ (product >> 64) as u64).wrapping_mul(MULTIPLIER)
}

fn halves(address: &[u8; 16]) -> [u64; 2] {
    let value = u128::from_ne_bytes(*address);
    [value as u64, (value >> 64) as u64]
}
