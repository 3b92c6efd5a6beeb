//! User stages: what runs between route and encrypt, and between coalesce and tun_egress.
//!
//! ```text
//! chain       the stages of one tunnel, in order: who is called with what; slot, handle, handler: one of them
//! filter   which frames a stage sees; the others never reach it
//! verdicts       what a stage says of each frame, and the batch that follows from it
//! repair      bytes that a stage gave become a frame: lengths, checksums, segment size
//! state      what a stage holds and counts, and whether it kept the order
//! ```
//!
//! In: batches of one direction, in order, in a stage_batch that is handed back. Out: the same frames less
//! what was dropped or held, with what was changed, made or emitted, and what must be booked.
//! Drops: what stages drop, under the reasons they give, counted here and as `stage` by the path.
//! Order: frames keep it; what a stage emits goes before the batch in which it does so.

pub mod chain;
pub mod filter;
pub mod fixup;
pub mod state;
pub mod verdicts;
