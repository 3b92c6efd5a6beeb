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
pub mod allowed_ips;
pub mod bpf;
pub mod buffer;
pub mod coalesce;
pub mod codel;
pub mod counters;
pub mod decrypt;
pub mod device;
pub mod encrypt;
pub mod exchange;
pub mod frame;
pub mod gso_batch;
pub mod gso_egress;
pub mod inbound;
pub mod noise;
pub mod outbound;
pub mod packet;
pub mod path;
pub mod peer;
pub mod refusal;
mod relief;
pub mod route;
mod sending;
pub mod split;
pub mod staged;
pub mod stages;
pub mod time;
pub mod tun_egress;
pub mod tun_ingress;
pub mod udp_ingress;
pub mod verdict;
