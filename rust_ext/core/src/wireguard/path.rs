//! Where a peer's datagrams go and where they leave from, as a value.

use std::net::{IpAddr, SocketAddr};

/// The local address a datagram leaves from, and its interface (0: the route decides).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Source {
    /// Local IP address.
    pub address: IpAddr,
    /// Interface index as the kernel counts them; 0 where it is not pinned.
    pub interface: u32,
}

/// The way to a peer: the destination, and the source that the peer last addressed
/// ("sticky": a reply leaves from the address that was asked).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Path {
    /// Address and port of the peer; for link-local IPv6 with its scope id.
    pub destination: SocketAddr,
    /// Local address to send from; `None` lets the kernel choose.
    pub source: Option<Source>,
}

impl Path {
    /// A path to `destination` whose source the kernel chooses.
    pub fn to(destination: SocketAddr) -> Self {
        Self { destination, source: None }
    }
}
