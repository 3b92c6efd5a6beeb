//! The sans-IO core of pyfw: WireGuard, the stages of both paths, and their order.
//!
//! Nothing in here makes a system call, reads a clock, draws randomness or starts a thread. An input
//! and a time go in, outputs are drained until there are none; that is why a replay is exact.
//!
//! ```text
//! outbound   tun_ingress → route → [stages] → encrypt → gso_egress
//! inbound    udp_ingress → decrypt → route → coalesce → [stages] → tun_egress
//! control    device (handshakes, timers, allowed IPs) ⇄ exchange ⇄ both paths
//! ```
#![deny(unsafe_code)]

pub mod aead;
pub mod bpf;
pub mod buffer;
pub mod codel;
pub mod counters;
pub mod drop_reason;
pub mod frame;
pub mod inbound;
pub mod outbound;
pub mod packet;
pub mod rate_limit;
pub mod stage_api;
pub mod stages;
pub mod sync;
pub mod time;
pub mod wireguard;
