//! Replay: captures through the real core, in virtual time, and a verdict on what came out.
#![deny(unsafe_code)]

pub mod capture;
pub mod outer;
pub mod pcapng;
