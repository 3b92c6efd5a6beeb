//! options: how a stage is built in.

use crate::{
    stage_api::Outcome,
    stages::{filter::Filter, state::HoldLimit},
};

/// How a stage is built in.
#[derive(Clone, Debug)]
pub struct SlotOptions {
    /// What it is called.
    pub name: String,
    /// Whether it stands in each path.
    pub directions: [bool; 2],
    /// Which frames it sees; `None`: all.
    pub filter: Option<Filter>,
    /// Whether it may send on a frame that a later one has passed.
    pub reorders: bool,
    /// Whether frames go on where its call failed.
    pub pass_on_error: bool,
    /// What it may hold.
    pub hold: HoldLimit,
    /// Time between ticks; 0: only those it asks for.
    pub tick_ns: u64,
    /// Calls in a row that fail before `outcome` follows.
    pub failures: u32,
    /// How long a call may last before `outcome` follows; `None`: for ever.
    pub stall_ns: Option<u64>,
    /// See above.
    pub outcome: Outcome,
}
