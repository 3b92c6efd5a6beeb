//! pyfw on Linux: TUN, UDP, their offloads, and the threads that run the core on them.
//!
//! Nearly all unsafe code of pyfw is in here, each piece beside the reason why it is sound.

pub mod bare;
mod cmsg;
pub mod deadline;
pub mod engine;
pub mod epoll;
#[cfg(test)]
mod namespace;
pub mod priority;
pub mod socket_address;
pub mod tun;
pub mod udp;
