//! The path to a peer: the destination and source of its datagrams.

use std::net::{IpAddr, SocketAddr};

/// The local address and interface that datagrams are sent from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Source {
    /// Local IP address.
    pub address: IpAddr,
    /// Interface index of the kernel; 0 if the route decides.
    pub interface: u32,
}

/// A destination, and the source that the peer last sent to ("sticky": an answer leaves from the address that
/// was addressed).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Path {
    /// Address and port of the peer; a link-local IPv6 address with its scope id.
    pub destination: SocketAddr,
    /// Local address to send from; `None` lets the kernel choose.
    pub source: Option<Source>,
}

impl Path {
    /// Returns a path to `destination` whose source the kernel chooses.
    pub fn to(destination: SocketAddr) -> Self {
        Self { destination, source: None }
    }
}
