//! Test doubles that several crates share; a development dependency only.
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

pub mod allocator;
pub mod node;
pub mod packets;
pub mod pair;
