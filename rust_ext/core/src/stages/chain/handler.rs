//! handler: what a language binding implements: the stage's code, and its interpreter.

use std::sync::Arc;

use super::handle::StageHandle;
use crate::{
    stage_api::StageBatch,
    stages::{filter::PeerKeys, verdicts::Verdicts},
};

/// A stage's code.
pub trait StageHandler: Send {
    /// Calls the stage with the selected rows. Returns `call` in any case, with the verdicts in it.
    fn process(&mut self, call: Call) -> (Call, Result<(), Failure>);

    /// Calls the stage's `tick` with the boot time in nanoseconds.
    ///
    /// # Errors
    /// If the call failed.
    fn tick(&mut self, now_ns: u64) -> Result<(), Failure>;
}

/// The interpreter that handlers need, and its clock.
pub trait Runtime: Send + Sync {
    /// Runs `body` attached to the interpreter. Returns how long the thread waited for that, in nanoseconds.
    fn attach(&self, body: &mut dyn FnMut()) -> u64;

    /// Runs `body`, which may block, detached from the interpreter.
    fn detach(&self, body: &mut dyn FnMut());

    /// Identifies the calling thread for [`Self::waits_for_gil`].
    fn thread_id(&self) -> u64 {
        0
    }

    /// Whether that thread, inside a stage call, waits for the GIL while other code holds it. Called several
    /// times a second as long as the call lasts.
    fn waits_for_gil(&self, _thread_id: u64, _now_ns: u64) -> bool {
        false
    }

    /// Returns the boot time in nanoseconds.
    fn now_ns(&self) -> u64;
}

/// One call of a stage: the batch, and its verdicts in the making.
pub struct Call {
    /// The batch, including the rows that the stage's filter did not select.
    pub stage_batch: StageBatch,
    /// The selected rows and their verdicts.
    pub verdicts: Verdicts,
    /// Number of the call.
    pub number: u64,
    /// Public keys of the tunnel's peers.
    pub peers: Arc<PeerKeys>,
    /// The stage's handle.
    pub handle: Arc<StageHandle>,
}

/// Why a call failed. The text is made only if it is logged.
pub struct Failure(pub Box<dyn FnOnce() -> String + Send>);
