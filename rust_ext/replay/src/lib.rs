//! Replays captures through the core in virtual time and checks the order of what comes out.
#![deny(unsafe_code)]

pub mod capture;
mod clock;
mod connections;
mod inbox;
mod network;
mod node;
mod node_sink;
mod node_stages;
pub mod order;
pub mod outer;
mod outer_header;
pub mod pcapng;
pub mod plan;
pub mod random;
mod recorder;
pub mod result;
pub mod rules;
pub mod run;
mod source_map;
mod tun_drain;
mod wire;
mod wire_tap;

pub use self::{
    outer_header::outer_packet,
    recorder::{INNER, OUTER},
};
