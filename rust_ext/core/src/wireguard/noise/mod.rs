//! WireGuard's handshake protocol: messages of types 1 to 3, cookies, session keys, timers and the replay window.
//!
//! Peers, sockets and queues belong to [`super::device`] and the paths.

pub mod cookie;
pub mod handshake;
pub mod message;
pub mod replay_window;
pub mod symmetric;
pub mod tai64n;
pub mod timers;
