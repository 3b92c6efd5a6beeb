//! stages: the user's stages, between route and encrypt outbound and between coalesce and tun_egress inbound.
//!
//! ```text
//! chain      the stages of one tunnel, in order
//!   slot     one stage: calls its handler with a batch and applies the verdicts
//!   handler  traits that a language binding implements: the stage's code, and its interpreter
//!   handle   what a stage's code calls back: emit, wake_at, count
//! filter     selects the frames that a stage sees
//! verdicts   what a stage decides per frame, and the batch that follows (apply)
//! fixup      turns bytes that a stage wrote into a frame: lengths, checksums, segment size
//! state      frames that a stage holds or has emitted, and its counters
//! ```
//!
//! In: batches of one direction, in order. Out: the same frames less those dropped or held, plus those
//! changed, inserted or emitted, with the adjustments to the path's counters. Drops: what stages drop,
//! counted here under their reasons and by the path as `stage`. Order: kept; frames that a stage emits go
//! before the batch during which it emits them.

pub mod chain;
pub mod filter;
pub mod fixup;
pub mod state;
pub mod verdicts;
