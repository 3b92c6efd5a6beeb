//! System calls: TUN, UDP sockets, polling, and what they need.

mod cmsg;
pub mod deadline;
pub mod epoll;
#[cfg(test)]
pub(crate) mod namespace;
pub mod socket_address;
pub mod tun;
pub mod udp;
