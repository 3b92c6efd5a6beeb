//! handler: a stage's code, in whatever language, and how it is entered.
//!
//! In: a batch on stage_batch, with the rows that were selected. Out: the batch, with what was said of them.

use std::sync::Arc;

use super::handle::StageHandle;
use crate::{
    stage_api::StageBatch,
    stages::{filter::PeerNames, verdicts::Verdicts},
};

/// A stage's code, in whatever language.
pub trait StageHandler: Send {
    /// Looks at the rows of `work`, which is given back whatever happens.
    fn process(&mut self, work: Call) -> (Call, Result<(), Failure>);

    /// Gets the time, boot nanoseconds.
    ///
    /// # Errors
    /// Where the call failed.
    fn tick(&mut self, now_ns: u64) -> Result<(), Failure>;
}

/// How guests are entered, and the clock that measures them.
pub trait Runtime: Send + Sync {
    /// Runs `body` where guests can be called (attached to their interpreter), and returns how long
    /// that had to be waited for, nanoseconds.
    fn enter(&self, body: &mut dyn FnMut()) -> u64;

    /// Runs `body`, which may have to wait, where no handler is kept from going on by it.
    fn leave(&self, body: &mut dyn FnMut());

    /// The calling thread, by a number of the runtime's own.
    fn thread(&self) -> u64 {
        0
    }

    /// Whether that thread, in the middle of a handler's call, is kept from going on by somebody else's code.
    /// Asked several times a second as long as the call lasts.
    fn is_kept_out(&self, _thread: u64, _now_ns: u64) -> bool {
        false
    }

    /// Boot nanoseconds.
    fn now_ns(&self) -> u64;
}

/// What a handler is called with.
pub struct Call {
    /// The batch, with rows that were not selected as well.
    pub stage_batch: StageBatch,
    /// The selected rows, and what is said of them.
    pub verdicts: Verdicts,
    /// The number of the call.
    pub call: u64,
    /// The peers' names.
    pub peers: Arc<PeerNames>,
    /// Where the stage holds, emits and counts.
    pub handle: Arc<StageHandle>,
}

/// Why a call failed; the text is made only where somebody reads it.
pub struct Failure(pub Box<dyn FnOnce() -> String + Send>);
