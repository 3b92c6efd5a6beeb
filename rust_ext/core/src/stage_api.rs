//! The interface between the two paths, the user's stages and the host that runs both.

use std::sync::Arc;

use crate::{buffer::Buffer, frame::FrameBatch, wireguard::peer::PeerId};

/// Which path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the TUN to the sockets.
    Outbound = 0,
    /// From the sockets to the TUN.
    Inbound = 1,
}

impl Direction {
    /// Both, in the order of their numbers.
    pub const BOTH: [Self; 2] = [Self::Outbound, Self::Inbound];

    /// The other path.
    pub const fn other(self) -> Self {
        match self {
            Self::Outbound => Self::Inbound,
            Self::Inbound => Self::Outbound,
        }
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Outbound => "outbound",
            Self::Inbound => "inbound",
        }
    }
}

/// What a path lends to its stages, and gets back.
#[derive(Debug, Default)]
pub struct StageBatch {
    /// The frames.
    pub batch: FrameBatch,
    /// Where they lie.
    pub buffer: Buffer,
    /// What the path has to count.
    pub adjustments: Vec<CountAdjustment>,
}

/// Segments that stages dropped or made; for the conservation law of the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CountAdjustment {
    /// Whose; `NO_PEER` where that is not known.
    pub peer: PeerId,
    /// How many.
    pub segments: u64,
    /// Made, or dropped.
    pub created: bool,
}

/// The stages of one tunnel, as its paths see them. Entered by one thread a direction.
pub trait Stages: Send + Sync {
    /// Whether a batch of this direction has to be lent at all.
    fn wants(&self, direction: Direction) -> bool;

    /// Whether frames of this direction wait to go on: lend a batch, also an empty one.
    fn has_pending(&self, direction: Direction) -> bool;

    /// Whether any stage holds frames.
    fn holds(&self) -> bool;

    /// Takes a batch through. `mtu` is the TUN's.
    fn process(&self, direction: Direction, stage_batch: &mut StageBatch, mtu: usize) {
        self.process_while(direction, stage_batch, mtu, &|| true);
    }

    /// The same; once `wanted` says no, no further stage gets the batch: it comes back too late.
    fn process_while(
        &self,
        direction: Direction,
        stage_batch: &mut StageBatch,
        mtu: usize,
        wanted: &dyn Fn() -> bool,
    );

    /// When `tick` is due next, boot nanoseconds.
    fn due_ns(&self) -> Option<u64>;

    /// Gives stages that asked for it the time.
    fn tick(&self, now_ns: u64);

    /// Tells stages who surrounds them, before the first batch.
    fn connect(&self, host: Arc<dyn StageHost>);

    /// What the tunnel's peers are called: number and public key of each.
    fn set_peers(&self, peers: &[(PeerId, [u8; 32])]);

    /// The stage that has been running for longest at `now_ns`, and for how long; where none lasts, who waits
    /// to enter one. What a stage was kept out for in the middle of a call is not counted as its own.
    fn running(&self, now_ns: u64) -> Option<Running>;

    /// Takes out a stage that does not return, by its number in [`Running`]; 0 is none.
    fn abandon(&self, stage: u64);
}

/// A stage's call that has not returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Running {
    /// Which stage.
    pub stage: u64,
    /// What it is called.
    pub name: String,
    /// How long it has been running, or waiting for the interpreter, nanoseconds.
    pub for_ns: u64,
    /// How long it may, nanoseconds; `None`: for ever.
    pub limit_ns: Option<u64>,
    /// What follows then.
    pub outcome: Outcome,
}

/// What becomes of a stage that fails for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The tunnel is closed: nothing passes that it should have looked at.
    Close,
    /// The stage is taken out: traffic goes on without it.
    Remove,
}

/// Who runs the paths.
pub trait StageHost: Send + Sync {
    /// Frames of this direction wait, and their thread may sleep.
    fn wake(&self, direction: Direction);

    /// A tick is due earlier than it was.
    fn wake_for_tick(&self);

    /// Something worth a line.
    fn notify(&self, notice: Notice);

    /// A stage's failure closes the tunnel.
    fn close(&self, reason: String);
}

/// What a stage did that an operator should know of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// `noun.verb`.
    pub message: &'static str,
    /// Whose.
    pub stage: String,
    /// In words.
    pub text: String,
    /// How often, since the last such notice.
    pub times: u64,
}
