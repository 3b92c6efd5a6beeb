//! The control state of one peer.

use std::sync::Arc;

use super::sessions::Sessions;
use crate::wireguard::{
    noise::{
        cookie::CookieJar,
        handshake::{Initiator, PeerSecrets},
        tai64n::Timestamp,
        timers::Timers,
    },
    path::Path,
    peer::{Activity, NEVER},
};

pub(super) struct Remote {
    pub(super) secrets: PeerSecrets,
    pub(super) activity: Arc<Activity>,
    pub(super) path: Option<Path>,
    pub(super) timers: Timers,
    pub(super) jar: CookieJar,
    /// Our initiation until its response arrives.
    pub(super) pending: Option<PendingInitiation>,
    pub(super) sessions: Sessions,
    /// The timestamp of the last accepted initiation.
    pub(super) last_timestamp: Option<Timestamp>,
    /// When that initiation arrived.
    pub(super) last_initiation_ns: Option<u64>,
    /// When the last handshake was completed, for display; 0 for never.
    pub(super) last_handshake_unix_ns: u64,
    /// When the device checks this peer's timers: its entry in the device's list.
    pub(super) wake_ns: u64,
}

pub(super) struct PendingInitiation {
    pub(super) initiator: Initiator,
    pub(super) local_index: u32,
}

impl Remote {
    pub(super) fn new(secrets: PeerSecrets) -> Self {
        let jar = CookieJar::new(&secrets.public_key);
        let activity = Arc::<Activity>::default();
        activity.schedule_check(NEVER);
        Self {
            secrets,
            activity,
            path: None,
            timers: Timers::default(),
            jar,
            pending: None,
            sessions: Sessions::default(),
            last_timestamp: None,
            last_initiation_ns: None,
            last_handshake_unix_ns: 0,
            wake_ns: NEVER,
        }
    }
}
