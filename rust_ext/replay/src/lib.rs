//! Replay: captures through the real core, in virtual time, and a verdict on what came out.
#![deny(unsafe_code)]

pub mod capture;
pub mod judge;
mod network;
mod node;
pub mod outer;
mod outer_header;
pub mod pcapng;
pub mod plan;
pub mod random;
mod recorder;
pub mod rules;
pub mod run;
mod tap;
mod wire;

pub use self::{
    outer_header::outer_packet,
    recorder::{INNER, OUTER},
};
