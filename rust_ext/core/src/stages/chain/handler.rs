//! guest: a stage's code, in whatever language, and how it is entered.
//!
//! In: a batch on loan, with the rows that were selected. Out: the batch, with what was said of them.

use std::sync::Arc;

use super::handle::Desk;
use crate::stages::{Loan, filter::PeerNames, verdicts::Edits};

/// A stage's code, in whatever language.
pub trait Guest: Send {
    /// Looks at the rows of `work`, which is given back whatever happens.
    fn process(&mut self, work: Work) -> (Work, Result<(), Failure>);

    /// Gets the time, boot nanoseconds.
    ///
    /// # Errors
    /// Where the call failed.
    fn tick(&mut self, now_ns: u64) -> Result<(), Failure>;
}

/// How guests are entered, and the clock that measures them.
pub trait Entrance: Send + Sync {
    /// Runs `body` where guests can be called (attached to their interpreter), and returns how long
    /// that had to be waited for, nanoseconds.
    fn enter(&self, body: &mut dyn FnMut()) -> u64;

    /// Runs `body`, which may have to wait, where no guest is kept from going on by it.
    fn leave(&self, body: &mut dyn FnMut());

    /// The calling thread, by a number of the entrance's own.
    fn thread(&self) -> u64 {
        0
    }

    /// Whether that thread, in the middle of a guest's call, is kept from going on by somebody else's code.
    /// Asked several times a second as long as the call lasts.
    fn is_kept_out(&self, _thread: u64, _now_ns: u64) -> bool {
        false
    }

    /// Boot nanoseconds.
    fn now_ns(&self) -> u64;
}

/// What a guest is called with.
pub struct Work {
    /// The batch, with rows that were not selected as well.
    pub loan: Loan,
    /// The selected rows, and what is said of them.
    pub edits: Edits,
    /// The number of the call.
    pub call: u64,
    /// The peers' names.
    pub peers: Arc<PeerNames>,
    /// Where the stage holds, emits and counts.
    pub desk: Arc<Desk>,
}

/// Why a call failed; the text is made only where somebody reads it.
pub struct Failure(pub Box<dyn FnOnce() -> String + Send>);
