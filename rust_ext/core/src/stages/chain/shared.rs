//! shared: what the slots of a chain share: the host, the peers' public keys, the calls that are running.

use std::sync::{Arc, Mutex, RwLock, atomic::AtomicU64};

use crate::{
    stage_api::{Notice, StageHost},
    stages::filter::PeerKeys,
    sync,
};

/// Notices kept while the chain has no host, as in tests and replays.
const NOTICES_MAX: usize = 256;

/// What the slots of a chain share.
#[derive(Default)]
pub(super) struct ChainShared {
    pub(super) host: RwLock<Option<Arc<dyn StageHost>>>,
    pub(super) notices: Mutex<Vec<Notice>>,
    /// The call that runs in each direction, then that of ticks.
    pub(super) calls: [CallWatch; 3],
    pub(super) peers: RwLock<Arc<PeerKeys>>,
    pub(super) last_id: AtomicU64,
}

/// Index of ticks in [`ChainShared::calls`].
pub(super) const TICKS: usize = 2;

/// The call that one thread is in.
#[derive(Default)]
pub(super) struct CallWatch {
    /// When the thread entered the stage, or began to wait for the GIL; 0: no call.
    pub(super) since_ns: AtomicU64,
    /// The stage; 0: the thread waits for the GIL.
    pub(super) stage: AtomicU64,
    /// The thread, as the runtime identifies it.
    pub(super) thread_id: AtomicU64,
    /// When the call was last found to wait for the GIL.
    pub(super) gil_wait_ns: AtomicU64,
    /// Number of times a thread has entered the chain.
    pub(super) entries: AtomicU64,
}

impl ChainShared {
    /// Runs `body` with the host, if there is one.
    pub(super) fn with_host(&self, body: impl FnOnce(&dyn StageHost)) {
        let host = sync::read(&self.host).clone();
        if let Some(host) = host {
            body(&*host);
        }
    }

    pub(super) fn wake_for_tick(&self) {
        self.with_host(|host| host.wake_for_tick());
    }

    pub(super) fn peers(&self) -> Arc<PeerKeys> {
        Arc::clone(&sync::read(&self.peers))
    }

    pub(super) fn notify(&self, notice: Notice) {
        let host = sync::read(&self.host).clone();
        match host {
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
