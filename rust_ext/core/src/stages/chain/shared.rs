//! shared: what the slots of a chain share: the host, the peers' names, the calls under way.

use std::sync::{Arc, Mutex, RwLock, atomic::AtomicU64};

use crate::{
    stage_api::{Notice, StageHost},
    stages::filter::PeerNames,
    sync,
};

/// Notices kept while nobody surrounds the chain (tests, replays).
const NOTICES_MAX: usize = 256;

/// What the slots of a chain share.
#[derive(Default)]
pub(super) struct ChainShared {
    pub(super) host: RwLock<Option<Arc<dyn StageHost>>>,
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
    /// Whose call it is, as the runtime knows it.
    pub(super) thread: AtomicU64,
    /// When it was last found to be kept out in the middle of a stage.
    pub(super) kept_out_ns: AtomicU64,
    /// Counts the calls.
    pub(super) entry: AtomicU64,
}

/// The watch of ticks, behind those of the two directions.
pub(super) const TICKS: usize = 2;

impl ChainShared {
    pub(super) fn with(&self, say: impl FnOnce(&dyn StageHost)) {
        let held = sync::read(&self.host).clone();
        if let Some(host) = held {
            say(&*host);
        }
    }

    pub(super) fn wake_for_tick(&self) {
        self.with(|host| host.wake_for_tick());
    }

    pub(super) fn peers(&self) -> Arc<PeerNames> {
        Arc::clone(&sync::read(&self.peers))
    }

    pub(super) fn notify(&self, notice: Notice) {
        let held = sync::read(&self.host).clone();
        match held {
            Some(host) => host.notify(notice),
            None => {
                let mut notices = sync::lock(&self.notices);
                if notices.len() < NOTICES_MAX {
                    notices.push(notice);
                }
            }
        }
    }
}
