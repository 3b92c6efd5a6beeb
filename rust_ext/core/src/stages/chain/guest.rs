//! guest: a stage's code, in whatever language, and how it is entered.
//!
//! In: a batch on loan, with the rows that were selected. Out: the batch, with what was said of them.

use std::sync::Arc;

use super::slot::Slot;
use crate::stages::{
    Loan, Outcome,
    edits::Edits,
    ledger::HoldLimit,
    selection::{PeerNames, Selection},
};

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
    /// The stage's place.
    pub slot: Arc<Slot>,
}

/// Why a call failed; the text is made only where somebody reads it.
pub struct Failure(pub Box<dyn FnOnce() -> String + Send>);

/// How a stage is built in.
#[derive(Clone, Debug)]
pub struct SlotOptions {
    /// What it is called.
    pub name: String,
    /// Whether it stands in each path.
    pub directions: [bool; 2],
    /// Which frames it sees; `None`: all.
    pub selection: Option<Selection>,
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
