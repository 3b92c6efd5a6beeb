//! The WireGuard protocol: handshakes, timers, peers and cryptokey routing, without input or output.

pub mod allowed_ips;
pub mod commands;
pub mod device;
pub mod index_hasher;
pub mod noise;
pub mod path;
pub mod peer;
