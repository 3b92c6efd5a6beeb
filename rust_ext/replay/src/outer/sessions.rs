//! Initiations and sessions by index.
//!
//! Two pairs of peers may choose the same index, so an index can have several entries; only the tag tells
//! which one a message belongs to. The number of entries is bounded: the oldest are evicted.

use std::collections::{BTreeMap, VecDeque};

use pyfw_core::{aead::TransportKey, wireguard::noise::replay_window::ReplayWindow};

use super::{Reason, handshake::Initiation, keys::Key};

/// Most entries; a session's direction takes 1.2 KB.
pub(super) const MAX_ENTRIES: usize = 16_384;
/// Most entries of one index: a malicious capture could give all entries the same.
pub(super) const MAX_PER_INDEX: usize = 8;

/// An initiation that a response may follow.
pub(super) struct PendingInitiation {
    pub(super) message: Vec<u8>,
    /// Decrypted again when the response arrives if keys were missing.
    pub(super) opened: Result<Initiation, Reason>,
}

/// One direction of a session.
pub(super) struct Direction {
    pub(super) key: TransportKey,
    pub(super) window: ReplayWindow,
    /// Static public key of the sender.
    pub(super) sender: Key,
    pub(super) by_initiator: bool,
}

/// A bounded multimap that evicts the oldest entries.
pub(super) struct Recent<T> {
    by_index: BTreeMap<u32, VecDeque<T>>,
    /// Index of each entry, in order of insertion.
    order: VecDeque<u32>,
}

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self { by_index: BTreeMap::new(), order: VecDeque::new() }
    }
}

impl<T> Recent<T> {
    /// Inserts `item`, unless an entry of this index is the `same`.
    pub(super) fn insert(&mut self, index: u32, item: T, same: impl Fn(&T) -> bool) {
        let items = self.by_index.entry(index).or_default();
        if items.iter().any(same) {
            return;
        }
        if items.len() == MAX_PER_INDEX {
            items.pop_front();
            if let Some(at) = self.order.iter().position(|&other| other == index) {
                self.order.remove(at);
            }
        }
        items.push_back(item);
        self.order.push_back(index);
        if self.order.len() > MAX_ENTRIES {
            self.evict_oldest();
        }
    }

    /// Returns the entries of this index, newest first.
    pub(super) fn newest_first(&mut self, index: u32) -> impl Iterator<Item = &mut T> {
        self.by_index.get_mut(&index).into_iter().flatten().rev()
    }

    fn evict_oldest(&mut self) {
        let Some(index) = self.order.pop_front() else { return };
        if let Some(items) = self.by_index.get_mut(&index) {
            items.pop_front();
            if items.is_empty() {
                self.by_index.remove(&index);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newest_come_first_and_equal_ones_are_stored_once() {
        let mut recent = Recent::default();
        for item in [1, 2, 2, 3] {
            recent.insert(7, item, |other| *other == item);
        }
        assert_eq!(recent.newest_first(7).map(|item| *item).collect::<Vec<_>>(), [3, 2, 1]);
        assert_eq!(recent.newest_first(8).count(), 0);
    }

    #[test]
    fn oldest_are_evicted_per_index_and_in_total() {
        let mut recent = Recent::default();
        for item in 0..MAX_PER_INDEX as u32 + 2 {
            recent.insert(7, item, |_| false);
        }
        assert_eq!(recent.newest_first(7).count(), MAX_PER_INDEX);
        assert_eq!(recent.newest_first(7).last(), Some(&mut 2));
        for index in 0..MAX_ENTRIES as u32 {
            recent.insert(100 + index, 0, |_| false);
        }
        assert_eq!(recent.order.len(), MAX_ENTRIES);
        assert_eq!(recent.newest_first(7).count(), 0);
        assert_eq!(recent.by_index.len(), MAX_ENTRIES);
    }
}
