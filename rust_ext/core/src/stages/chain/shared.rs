//! links: what the slots of a chain share: the surroundings, the peers' names, the calls under way.

use std::sync::{Arc, Mutex, PoisonError, RwLock, atomic::AtomicU64};

use crate::stages::{Notice, Surroundings, filter::PeerNames};

/// Notices kept while nobody surrounds the chain (tests, replays).
const NOTICES_MAX: usize = 256;

/// What the slots of a chain share.
#[derive(Default)]
pub(super) struct Links {
    pub(super) surroundings: RwLock<Option<Arc<dyn Surroundings>>>,
    pub(super) notices: Mutex<Vec<Notice>>,
    pub(super) watches: [Watch; 3],
    pub(super) peers: RwLock<Arc<PeerNames>>,
    pub(super) ids: AtomicU64,
}

/// A call that is under way on one thread: since when, and in which stage (0: waiting to enter).
#[derive(Default)]
pub(super) struct Watch {
    pub(super) since_ns: AtomicU64,
    pub(super) stage: AtomicU64,
    /// Whose call it is, as the entrance knows it.
    pub(super) thread: AtomicU64,
    /// When it was last found to be kept out in the middle of a stage.
    pub(super) kept_out_ns: AtomicU64,
    /// Counts the calls.
    pub(super) entry: AtomicU64,
}

/// The watch of ticks, behind those of the two directions.
pub(super) const TICKS: usize = 2;

impl Links {
    pub(super) fn with(&self, say: impl FnOnce(&dyn Surroundings)) {
        let held = self.surroundings.read().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(surroundings) = held {
            say(&*surroundings);
        }
    }

    pub(super) fn wake_for_tick(&self) {
        self.with(|surroundings| surroundings.wake_for_tick());
    }

    pub(super) fn peers(&self) -> Arc<PeerNames> {
        Arc::clone(&self.peers.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn say(&self, notice: Notice) {
        let held = self.surroundings.read().unwrap_or_else(PoisonError::into_inner).clone();
        match held {
            Some(surroundings) => surroundings.say(notice),
            None => {
                let mut notices = self.notices.lock().unwrap_or_else(PoisonError::into_inner);
                if notices.len() < NOTICES_MAX {
                    notices.push(notice);
                }
            }
        }
    }
}
