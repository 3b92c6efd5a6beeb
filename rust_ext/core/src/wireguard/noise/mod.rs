//! WireGuard's handshake protocol: messages of types 1 to 3 and the keys that come out of them.
//!
//! In: messages, keys, randomness and a time. Out: messages and transport keys. Nothing here knows
//! of peers as the operator does, of sockets or of queues: that is the device's.

pub mod cookie;
pub mod handshake;
pub mod message;
pub mod replay_window;
pub mod symmetric;
pub mod tai64n;
pub mod timers;
