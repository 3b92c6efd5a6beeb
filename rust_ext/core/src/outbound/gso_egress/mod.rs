//! gso_egress: the ordered list of GSO batches.
//!
//! In: datagrams, written through reservations straight into the buffer that will be sent.
//! Out: batches, in the order in which they were opened. Drops: nothing; without a free buffer a reservation
//! fails, and the caller sends before it goes on.
//! Order: only the newest batch to a destination can grow, and only at its end. So no datagram overtakes
//! another one to the same destination, whatever their lengths, and nothing is sorted.

use std::collections::VecDeque;

use crate::{
    aead::{Aead, Slot, TransportKey},
    outbound::gso_batch::{GsoBatch, Target, send_limit},
    wireguard::peer::PeerId,
};

/// Size of each buffer of the pool, enough for the largest send of either family.
const BUFFER_SIZE: usize = 65_536;

/// The list, and the pool of its buffers. Memory: `buffers` × 64 KiB, allocated at the start and touched only as
/// far as it is used.
#[derive(Debug)]
pub struct GsoEgress {
    list: VecDeque<GsoBatch>,
    arena: Vec<u8>,
    /// Free buffers; the one used last is taken first, because it is still in the cache.
    free: Vec<usize>,
    /// Slot lists of completed batches, reused for their capacity.
    spare_slots: Vec<Vec<Slot>>,
    max_segments: usize,
    counts: GsoCounts,
}

/// How datagrams were batched since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GsoCounts {
    /// Completed batches.
    pub batches: u64,
    /// Datagrams in them.
    pub datagrams: u64,
    /// Batches by number of datagrams: 1, 2, 3–4, 5–8, 9–16, 17–32, 33–64, more.
    pub sizes: [u64; 8],
}

/// Datagrams that left the list together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Completed {
    /// The peer that they are counted for.
    pub peer: PeerId,
    /// How many of them carry a packet.
    pub segments: u64,
    /// Bytes of all of them.
    pub bytes: u64,
}

impl GsoEgress {
    /// Creates a list of at most `buffers` batches, each of at most `max_segments` datagrams.
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

    /// Reserves `length` bytes for one datagram: at the end of the newest batch to its destination if that
    /// accepts it, else in a new batch. Returns `None` if no buffer is free.
    ///
    /// # Panics
    /// If `length` is 0 or more than one send can carry.
    pub fn reserve(&mut self, target: &Target, length: usize) -> Option<Reservation<'_>> {
        let destination = &target.path.destination;
        assert!(0 < length && length <= send_limit(destination), "a datagram of {length} bytes");
        let batch = match self.list.back() {
            // Bulk traffic goes where the datagram before went.
            Some(last) if last.accepts(target, length, self.max_segments) => self.list.len() - 1,
            _ => self.find_or_open(target, length)?,
        };
        Some(Reservation { egress: self, batch, length })
    }

    /// Returns the newest batch to the destination if that accepts the datagram, or opens a new one.
    fn find_or_open(&mut self, target: &Target, length: usize) -> Option<usize> {
        let destination = &target.path.destination;
        let newest = self.list.iter().rposition(|b| b.target.path.destination == *destination);
        match newest {
            Some(i) if self.list[i].accepts(target, length, self.max_segments) => Some(i),
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
            completed: 0,
        });
        Some(self.list.len() - 1)
    }

    /// Closes all batches for `peer`, whose path changes. If it changes back, new datagrams must stay behind
    /// those that were sent to the other destination in between.
    pub fn close(&mut self, peer: PeerId) {
        for batch in self.list.iter_mut().filter(|batch| batch.target.peer == peer) {
            batch.closed = true;
        }
    }

    /// Number of batches that can still be opened.
    pub fn free_buffers(&self) -> usize {
        self.free.len()
    }

    /// Number of datagrams that one send may carry.
    pub fn max_segments(&self) -> usize {
        self.max_segments
    }

    /// Seals what was committed since the last call, with one cipher call a batch.
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

    /// The batches in order, each with the part of its payload that is not completed.
    pub fn batches(&self) -> impl Iterator<Item = (&GsoBatch, &[u8])> {
        self.list.iter().map(|batch| (batch, self.payload(batch)))
    }

    /// The oldest batch.
    pub fn oldest(&self) -> Option<(&GsoBatch, &[u8])> {
        self.list.front().map(|batch| (batch, self.payload(batch)))
    }

    fn payload(&self, batch: &GsoBatch) -> &[u8] {
        let buffer = &self.arena[batch.buffer * BUFFER_SIZE..][..batch.length];
        &buffer[(batch.completed * batch.segment_size).min(batch.length)..]
    }

    /// Whether the newest batch has room and is not the only one: the next drain may fill it.
    pub fn has_open_tail(&self) -> bool {
        self.list.len() > 1 && self.list.back().is_some_and(|last| last.has_room(self.max_segments))
    }

    /// Number of batches.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there is no batch.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Number of inner segments in the list.
    pub fn queued_segments(&self) -> u64 {
        self.list.iter().map(|b| count_segments(&b.slots[b.completed..])).sum()
    }

    /// Takes the next `datagrams` of the oldest batch off the list (`usize::MAX`: all of it): they were sent, or
    /// are dropped. Returns `None` if the list is empty.
    pub fn complete(&mut self, datagrams: usize) -> Option<Completed> {
        let batch = self.list.front_mut()?;
        let until = batch.completed.saturating_add(datagrams).min(batch.slots.len());
        let slots = &batch.slots[batch.completed..until];
        let from = batch.completed * batch.segment_size;
        let to = (until * batch.segment_size).min(batch.length);
        let completed = Completed {
            peer: batch.target.peer,
            segments: count_segments(slots),
            bytes: (to - from) as u64,
        };
        batch.completed = until;
        if until == batch.slots.len() {
            self.recycle_oldest();
        }
        Some(completed)
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

/// Counts the datagrams that carry a packet.
fn count_segments(slots: &[Slot]) -> u64 {
    slots.iter().filter(|slot| slot.length != 0).count() as u64
}

/// Room for one datagram at the end of a batch. Dropping it without [`Reservation::commit`] leaves the list as
/// it was.
#[derive(Debug)]
pub struct Reservation<'a> {
    egress: &'a mut GsoEgress,
    batch: usize,
    length: usize,
}

impl Reservation<'_> {
    /// The reserved bytes.
    pub fn bytes(&mut self) -> &mut [u8] {
        let batch = &self.egress.list[self.batch];
        &mut self.egress.arena[batch.buffer * BUFFER_SIZE + batch.length..][..self.length]
    }

    /// Appends the datagram to the batch. Its text starts at `text_offset`, has `text_length` bytes and will be
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
        // `drop` would undo the reservation.
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
