//! The sans-IO core of pyfw: WireGuard, the stages of both paths, and their order.
//!
//! Nothing in this crate makes a system call, reads a clock, draws randomness or starts a thread. An input and a
//! time go in, then outputs are drained until there are none; that is why a replay is exact.
//!
//! ```text
//! outbound   TUN → tun_ingress → route → [stages] → encrypt → gso_egress → UDP
//! inbound    UDP → udp_ingress → decrypt → source_check → coalesce → [stages] → tun_egress → TUN
//! wireguard  device (handshakes, timers, allowed IPs) ⇄ commands ⇄ both paths
//! stages     the user's stages; stage_api is what they share with the paths
//! packet     headers, checksums, segmentation
//! ```
//!
//! `outbound` and `inbound` use `wireguard` and `packet`, and never each other.
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
