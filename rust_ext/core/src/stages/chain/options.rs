//! options: how a slot runs its stage.

use crate::{
    stage_api::Outcome,
    stages::{filter::Filter, state::HoldLimit},
};

/// How a slot runs its stage.
#[derive(Clone, Debug)]
pub struct SlotOptions {
    /// Name of the stage in counters and logs.
    pub name: String,
    /// Whether the stage sees frames of each direction, indexed by `Direction`.
    pub directions: [bool; 2],
    /// Which frames it sees; `None`: all.
    pub filter: Option<Filter>,
    /// Whether it may emit a frame after a later one of the same flow.
    pub reorders: bool,
    /// Whether the frames of a failed call are passed instead of dropped.
    pub pass_on_error: bool,
    /// How much it may hold.
    pub hold: HoldLimit,
    /// Time between ticks in nanoseconds; 0: only those that it asks for.
    pub tick_ns: u64,
    /// Failed calls in a row until `outcome` is applied.
    pub failures: u32,
    /// How long a call may last until `outcome` is applied, in nanoseconds; `None`: no limit.
    pub stall_ns: Option<u64>,
    /// What happens after `failures` or `stall_ns`.
    pub outcome: Outcome,
}
