//! The interface between the two paths, the user's stages and the host that runs both.

use std::sync::Arc;

use crate::{buffer::Buffer, frame::FrameBatch, wireguard::peer::PeerId};

/// One of the two paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the TUN to the sockets.
    Outbound = 0,
    /// From the sockets to the TUN.
    Inbound = 1,
}

impl Direction {
    /// Both directions, in the order of their discriminants.
    pub const BOTH: [Self; 2] = [Self::Outbound, Self::Inbound];

    /// Returns the other direction.
    pub const fn other(self) -> Self {
        match self {
            Self::Outbound => Self::Inbound,
            Self::Inbound => Self::Outbound,
        }
    }

    /// Returns "outbound" or "inbound".
    pub const fn name(self) -> &'static str {
        match self {
            Self::Outbound => "outbound",
            Self::Inbound => "inbound",
        }
    }
}

/// A batch that a path hands to its stages and takes back.
#[derive(Debug, Default)]
pub struct StageBatch {
    /// The frames.
    pub batch: FrameBatch,
    /// The buffer that holds their bytes.
    pub buffer: Buffer,
    /// What the stages dropped and created, for the path's counters.
    pub adjustments: Vec<CountAdjustment>,
}

/// Segments that a stage dropped or created; keeps the path's conservation law exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CountAdjustment {
    /// The peer; `NO_PEER` until the frame is routed.
    pub peer: PeerId,
    /// Number of segments.
    pub segments: u64,
    /// Whether they were created; otherwise they were dropped.
    pub created: bool,
}

/// The stages of one tunnel, as its paths see them. At most one thread per direction calls them.
pub trait Stages: Send + Sync {
    /// Whether any stage sees frames of this direction.
    fn has_stages(&self, direction: Direction) -> bool;

    /// Whether emitted frames or count adjustments wait for a batch of this direction; an empty batch takes
    /// them as well.
    fn has_pending(&self, direction: Direction) -> bool;

    /// Whether any stage holds frames.
    fn holds_frames(&self) -> bool;

    /// Runs a batch through the stages. `mtu` is the TUN's.
    fn process(&self, direction: Direction, stage_batch: &mut StageBatch, mtu: usize) {
        self.process_while(direction, stage_batch, mtu, &|| true);
    }

    /// Like [`Self::process`], but stops before the next stage once `is_current` returns false: another
    /// thread has taken over the path, and its batches may already have passed this one.
    fn process_while(
        &self,
        direction: Direction,
        stage_batch: &mut StageBatch,
        mtu: usize,
        is_current: &dyn Fn() -> bool,
    );

    /// Returns when the next tick is due, in boot nanoseconds.
    fn due_ns(&self) -> Option<u64>;

    /// Calls `tick` of every stage whose tick is due.
    fn tick(&self, now_ns: u64);

    /// Sets the host. Called before the first batch.
    fn set_host(&self, host: Arc<dyn StageHost>);

    /// Sets number and public key of the tunnel's peers.
    fn set_peers(&self, peers: &[(PeerId, [u8; 32])]);

    /// Returns the stage call that has run for longest at `now_ns`; if none runs for long, a thread that
    /// waits for the GIL. Time that a call spends waiting for the GIL does not count against its stage.
    fn longest_call(&self, now_ns: u64) -> Option<RunningCall>;

    /// Removes a stage whose call does not return. `stage` is [`RunningCall::stage`]; 0 removes none.
    fn abandon(&self, stage: u64);
}

/// A stage call that has not returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunningCall {
    /// Number of the stage; 0 if the thread waits for the GIL.
    pub stage: u64,
    /// Name of the stage.
    pub name: String,
    /// How long it has been running, or waiting for the GIL, in nanoseconds.
    pub for_ns: u64,
    /// How long it may run, in nanoseconds; `None` if there is no limit.
    pub limit_ns: Option<u64>,
    /// What happens at the limit.
    pub outcome: Outcome,
}

/// What happens once a stage has failed for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The tunnel is closed, so no frame bypasses the stage.
    Close,
    /// The stage is removed, and traffic goes on without it.
    Remove,
}

/// Callbacks from a stage chain to its host.
pub trait StageHost: Send + Sync {
    /// Wakes the thread of this direction: frames are pending.
    fn wake(&self, direction: Direction);

    /// Wakes the thread that calls `tick`: a tick is due earlier than before.
    fn wake_for_tick(&self);

    /// Logs an event.
    fn notify(&self, notice: Notice);

    /// Closes the tunnel because a stage has failed.
    fn close(&self, reason: String);
}

/// An event of a stage, for the operator's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Name of the event, `object.verb`.
    pub message: &'static str,
    /// Name of the stage.
    pub stage: String,
    /// What happened: a traceback or a reason.
    pub text: String,
    /// Occurrences since the last such notice.
    pub times: u64,
}
