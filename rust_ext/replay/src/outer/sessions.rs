//! What is remembered of handshakes: initiations that may still be answered, and sessions.
//!
//! In: what was opened. Out: candidates for an index, the newest first, as two pairs of ends may
//! have chosen the same and only the tag tells them apart. The oldest are forgotten: what is kept
//! is bounded however long the capture is.

use std::collections::{BTreeMap, VecDeque};

use pyfw_core::{aead::TransportKey, wireguard::noise::replay_window::ReplayWindow};

use super::{Reason, handshake::Initiation, keys::Key};

/// Initiations and directions of sessions that are kept; a direction is 1.2 KB.
pub(super) const KEPT: usize = 16_384;
/// Of those that have one index: whoever writes the capture could make all of them have it.
pub(super) const KEPT_AN_INDEX: usize = 8;

/// An initiation, by its sender's index.
pub(super) struct Waiting {
    pub(super) message: Vec<u8>,
    /// What is missing may still come.
    pub(super) opened: Result<Initiation, Reason>,
}

/// One direction of a session, by its receiver's index.
pub(super) struct Direction {
    pub(super) key: TransportKey,
    pub(super) window: ReplayWindow,
    /// The static key of whoever sends.
    pub(super) sender: Key,
    pub(super) by_initiator: bool,
}

/// Things by an index, of which the oldest go.
pub(super) struct Recent<T> {
    by_index: BTreeMap<u32, VecDeque<T>>,
    /// The index of each, in the order in which they came.
    order: VecDeque<u32>,
}

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self { by_index: BTreeMap::new(), order: VecDeque::new() }
    }
}

impl<T> Recent<T> {
    /// Remembers `item`, unless one that is the `same` is remembered already.
    pub(super) fn insert(&mut self, index: u32, item: T, same: impl Fn(&T) -> bool) {
        let items = self.by_index.entry(index).or_default();
        if items.iter().any(same) {
            return;
        }
        if items.len() == KEPT_AN_INDEX {
            items.pop_front();
            if let Some(at) = self.order.iter().position(|&other| other == index) {
                self.order.remove(at);
            }
        }
        items.push_back(item);
        self.order.push_back(index);
        if self.order.len() > KEPT {
            self.forget_oldest();
        }
    }

    /// Those with this index, the newest first.
    pub(super) fn newest_first(&mut self, index: u32) -> impl Iterator<Item = &mut T> {
        self.by_index.get_mut(&index).into_iter().flatten().rev()
    }

    fn forget_oldest(&mut self) {
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
    fn the_newest_with_an_index_comes_first_and_the_same_is_kept_once() {
        let mut recent = Recent::default();
        for item in [1, 2, 2, 3] {
            recent.insert(7, item, |other| *other == item);
        }
        assert_eq!(recent.newest_first(7).map(|item| *item).collect::<Vec<_>>(), [3, 2, 1]);
        assert_eq!(recent.newest_first(8).count(), 0);
    }

    #[test]
    fn the_oldest_are_forgotten_by_index_and_in_all() {
        let mut recent = Recent::default();
        for item in 0..KEPT_AN_INDEX as u32 + 2 {
            recent.insert(7, item, |_| false);
        }
        assert_eq!(recent.newest_first(7).count(), KEPT_AN_INDEX);
        assert_eq!(recent.newest_first(7).last(), Some(&mut 2));
        for index in 0..KEPT as u32 {
            recent.insert(100 + index, 0, |_| false);
        }
        assert_eq!(recent.order.len(), KEPT);
        assert_eq!(recent.newest_first(7).count(), 0);
        assert_eq!(recent.by_index.len(), KEPT);
    }
}
