//! stages: binds the core's stage chain to stages written in Python.
//!
//! ```text
//! chain          StageChain, StageSlot: built by pyfw.stages.stage_set, run by an engine or a replay
//!   slot_options  the keyword arguments of a slot
//!   filter_args   those of `where` and `filter`
//! runtime        the interpreter: attached once per batch
//!   gil_wait      whether a call waits for the GIL
//! python_stage   calls a stage object
//! batch          FrameBatch, its argument; frame: Frame, one row of it; batch_access: what both share
//!   column        columns that memoryview and numpy read in place
//!   views         memoryviews of a frame's bytes
//!   packet        packets that a stage passes in
//! held_frame     HeldFrame
//! test_feed      packets through a chain without a tunnel
//! ```

pub(crate) mod batch;
mod batch_access;
pub(crate) mod chain;
mod column;
mod filter_args;
pub(crate) mod frame;
mod gil_wait;
pub(crate) mod held_frame;
mod packet;
mod python_stage;
mod runtime;
mod slot_options;
mod test_feed;
mod views;

use pyfw_core::stage_api::Direction;
use pyo3::prelude::*;

use crate::convert::value_error;

/// Reads "inbound" or "outbound".
fn direction(name: &str) -> PyResult<Direction> {
    Direction::BOTH
        .into_iter()
        .find(|direction| direction.name() == name)
        .ok_or_else(|| value_error(format!("direction is {name:?}, must be inbound or outbound")))
}
