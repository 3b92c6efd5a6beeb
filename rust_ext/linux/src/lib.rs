//! pyfw on Linux: TUN, UDP, their offloads, and the threads that run the core on them.
//!
//! Nearly all unsafe code of pyfw is in here, each piece beside the reason why it is sound.

pub mod engine;
pub mod sys;
