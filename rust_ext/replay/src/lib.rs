//! Replay: captures through the real core, in virtual time, and a verdict on what came out.
#![deny(unsafe_code)]

mod air;
pub mod capture;
mod end;
mod envelope;
pub mod judge;
pub mod outer;
pub mod pcapng;
pub mod plan;
pub mod random;
mod recorder;
pub mod rules;
pub mod run;
mod tap;
mod wire;

pub use self::{
    envelope::outer_packet,
    recorder::{INNER, OUTER},
};
