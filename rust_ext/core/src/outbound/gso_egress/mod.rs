//! gso_egress: the ordered list of GSO batches (design §3.1).
//!
//! In: datagrams, written through reservations straight into the buffer that will be sent.
//! Out: batches, in the order in which they were opened. Drops: nothing; a full pool refuses the
//! reservation, and the caller sends before it goes on. Order: only the newest batch to a
//! destination can grow, and it can grow only at its end; so no datagram can overtake another one
//! to the same destination, whatever their lengths, and nothing is ever sorted.

use std::collections::VecDeque;

use crate::{
    aead::{Aead, Slot, TransportKey},
    outbound::gso_batch::{GsoBatch, Target, send_limit},
    wireguard::peer::PeerId,
};

/// Size of each pooled buffer; holds the largest send of either family.
const BUFFER_SIZE: usize = 65_536;

/// The list, and the pool its buffers come from. Memory: `buffers` × 64 KiB, all of it allocated
/// at the start and touched only as far as it is used.
#[derive(Debug)]
pub struct GsoEgress {
    list: VecDeque<GsoBatch>,
    arena: Vec<u8>,
    /// Unused buffers; the one used last is taken first, because it is still in the cache.
    free: Vec<usize>,
    /// Slot lists of batches that were sent, kept for their room.
    spare_slots: Vec<Vec<Slot>>,
    max_segments: usize,
    counts: GsoCounts,
}

/// How datagrams were batched since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GsoCounts {
    /// Batches that left.
    pub batches: u64,
    /// Datagrams that left in them.
    pub datagrams: u64,
    /// Batches by size: 1, 2, 3–4, 5–8, 9–16, 17–32, 33–64, more.
    pub sizes: [u64; 8],
}

/// Datagrams that left the list together: what to count, and for whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Departed {
    /// The peer.
    pub peer: PeerId,
    /// Datagrams that carry a packet.
    pub segments: u64,
    /// Bytes of all datagrams.
    pub bytes: u64,
}

impl GsoEgress {
    /// A list whose sends carry at most `max_segments` datagrams, with `buffers` buffers.
    pub fn new(max_segments: usize, buffers: usize) -> Self {
        Self {
            list: VecDeque::with_capacity(buffers),
            arena: vec![0; buffers * BUFFER_SIZE],
            free: (0..buffers).rev().collect(),
            spare_slots: (0..buffers).map(|_| Vec::with_capacity(max_segments)).collect(),
            max_segments,
            counts: GsoCounts::default(),
        }
    }

    /// Room for one datagram of `length` bytes, or `None` while the pool is empty. The datagram
    /// joins the newest batch to its destination where that may take it, else it opens a new one.
    ///
    /// # Panics
    /// If `length` is 0 or more than one send can carry: the caller drops such packets.
    pub fn reserve(&mut self, target: &Target, length: usize) -> Option<Reservation<'_>> {
        let destination = &target.path.destination;
        assert!(0 < length && length <= send_limit(destination), "no datagram has {length} bytes");
        let batch = match self.list.back() {
            // In bulk it goes where the one before went.
            Some(last) if last.takes(target, length, self.max_segments) => self.list.len() - 1,
            _ => self.search(target, length)?,
        };
        Some(Reservation { egress: self, batch, length })
    }

    /// The newest batch to the destination, where that takes the datagram, or a new one.
    fn search(&mut self, target: &Target, length: usize) -> Option<usize> {
        let destination = &target.path.destination;
        let newest = self.list.iter().rposition(|b| b.target.path.destination == *destination);
        match newest {
            Some(i) if self.list[i].takes(target, length, self.max_segments) => Some(i),
            _ => self.open(target, length),
        }
    }

    fn open(&mut self, target: &Target, length: usize) -> Option<usize> {
        let buffer = self.free.pop()?;
        self.list.push_back(GsoBatch {
            target: *target,
            segment_size: length,
            length: 0,
            closed: false,
            buffer,
            slots: self.spare_slots.pop().unwrap_or_default(),
            sealed: 0,
            consumed: 0,
        });
        Some(self.list.len() - 1)
    }

    /// Lets nothing join what waits for `peer`: it is sent to elsewhere from now on, and where it comes
    /// back, what is new must stay behind what was sent there in between.
    pub fn close(&mut self, peer: PeerId) {
        for batch in self.list.iter_mut().filter(|batch| batch.target.peer == peer) {
            batch.closed = true;
        }
    }

    /// How many batches can still be opened.
    pub fn free_buffers(&self) -> usize {
        self.free.len()
    }

    /// Datagrams one send may carry.
    pub fn max_segments(&self) -> usize {
        self.max_segments
    }

    /// Seals what was committed since the last call, one cipher call a batch.
    pub fn seal<'k>(
        &mut self,
        aead: &mut dyn Aead,
        key_of: impl Fn(PeerId) -> Option<&'k TransportKey>,
    ) {
        for batch in self.list.iter_mut().rev() {
            if batch.sealed == batch.slots.len() {
                continue;
            }
            if let Some(key) = key_of(batch.target.peer) {
                let buffer = &mut self.arena[batch.buffer * BUFFER_SIZE..][..BUFFER_SIZE];
                aead.seal(key, buffer, &batch.slots[batch.sealed..]);
                batch.sealed = batch.slots.len();
            }
        }
    }

    /// The batches in the order in which they leave, each with what is still to be sent of it.
    pub fn batches(&self) -> impl Iterator<Item = (&GsoBatch, &[u8])> {
        self.list.iter().map(|batch| (batch, self.payload(batch)))
    }

    /// The batch that leaves next.
    pub fn oldest(&self) -> Option<(&GsoBatch, &[u8])> {
        self.list.front().map(|batch| (batch, self.payload(batch)))
    }

    fn payload(&self, batch: &GsoBatch) -> &[u8] {
        let buffer = &self.arena[batch.buffer * BUFFER_SIZE..][..batch.length];
        &buffer[(batch.consumed * batch.segment_size).min(batch.length)..]
    }

    /// Whether the newest batch has room, and others leave before it: what is read next may fill it.
    pub fn has_open_tail(&self) -> bool {
        self.list.len() > 1 && self.list.back().is_some_and(|last| last.has_room(self.max_segments))
    }

    /// How many batches wait.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Inner segments that wait, for the conservation law.
    pub fn queued_segments(&self) -> u64 {
        self.list.iter().map(|b| carrying(&b.slots[b.consumed..])).sum()
    }

    /// Takes the next `datagrams` of the oldest batch off the list: the kernel has them, or
    /// refused them (`usize::MAX`: all of the batch). `None` where the list is empty.
    pub fn depart(&mut self, datagrams: usize) -> Option<Departed> {
        let batch = self.list.front_mut()?;
        let until = batch.consumed.saturating_add(datagrams).min(batch.slots.len());
        let left = &batch.slots[batch.consumed..until];
        let from = batch.consumed * batch.segment_size;
        let to = (until * batch.segment_size).min(batch.length);
        let departed = Departed {
            peer: batch.target.peer,
            segments: carrying(left),
            bytes: (to - from) as u64,
        };
        batch.consumed = until;
        if until == batch.slots.len() {
            self.recycle_oldest();
        }
        Some(departed)
    }

    fn recycle_oldest(&mut self) {
        if let Some(mut batch) = self.list.pop_front() {
            let size = batch.slots.len();
            self.counts.batches += 1;
            self.counts.datagrams += size as u64;
            let class = size.next_power_of_two().trailing_zeros() as usize;
            self.counts.sizes[class.min(self.counts.sizes.len() - 1)] += 1;
            batch.slots.clear();
            self.spare_slots.push(batch.slots);
            self.free.push(batch.buffer);
        }
    }

    /// How datagrams were batched since the start.
    pub fn counts(&self) -> GsoCounts {
        self.counts
    }
}

fn carrying(slots: &[Slot]) -> u64 {
    slots.iter().filter(|slot| slot.length != 0).count() as u64
}

/// Room for one datagram at the end of a batch. Dropped without [`Reservation::commit`], it leaves
/// the list as it was.
#[derive(Debug)]
pub struct Reservation<'a> {
    egress: &'a mut GsoEgress,
    batch: usize,
    length: usize,
}

impl Reservation<'_> {
    /// The bytes to write the datagram into, exactly its length.
    pub fn bytes(&mut self) -> &mut [u8] {
        let batch = &self.egress.list[self.batch];
        &mut self.egress.arena[batch.buffer * BUFFER_SIZE + batch.length..][..self.length]
    }

    /// Keeps the datagram. Its text starts at `text_offset` in it, has `text_length` bytes and is
    /// sealed with `counter`.
    pub fn commit(self, text_offset: usize, text_length: usize, counter: u64) {
        let batch = &mut self.egress.list[self.batch];
        batch.slots.push(Slot {
            offset: (batch.length + text_offset) as u32,
            length: text_length as u32,
            counter,
        });
        batch.length += self.length;
        batch.closed = self.length < batch.segment_size;
        // There is nothing left to undo.
        std::mem::forget(self);
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        if self.egress.list[self.batch].slots.is_empty() {
            // Only the newest batch can be empty: it was opened for this reservation.
            if let Some(batch) = self.egress.list.pop_back() {
                self.egress.spare_slots.push(batch.slots);
                self.egress.free.push(batch.buffer);
            }
        }
    }
}

#[cfg(test)]
mod tests;
