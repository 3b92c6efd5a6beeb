//! Stages written in Python: what the core's chain calls, and what a stage is given to look at.
//!
//! ```text
//! chain     StageChain, StageSlot: made by pyfw.pipeline, run by an engine, a replay or a trial
//! handler     one stage object: enters it with a batch, and comes back with what it said
//! runtime  the interpreter: attached to once a batch, left while somebody waits
//! kept_out  who waits for it in the middle of a call
//! batch     FrameBatch; frame: one of its rows; lent: what both show while a call lasts
//! column    numbers that numpy and memoryview read in place; export: a frame's bytes likewise
//! held      HeldFrame
//! filter     the filter of `where` and `filter`
//! trial     packets through a chain by hand
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
mod test_feed;
mod views;

use pyfw_core::stage_api::Direction;
use pyo3::prelude::*;

use crate::convert::value_error;

/// "inbound" or "outbound".
fn direction(name: &str) -> PyResult<Direction> {
    Direction::BOTH
        .into_iter()
        .find(|direction| direction.name() == name)
        .ok_or_else(|| value_error(format!("direction {name:?}: inbound or outbound")))
}
