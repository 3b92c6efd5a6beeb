//! filter: selects frames by header fields, peer or BPF program.

use std::{collections::HashMap, net::IpAddr, ops::RangeInclusive};

use crate::{
    bpf::Program,
    frame::{Frame, Slice},
    packet::{pieces::pieces, tcp},
    wireguard::{allowed_ips::Prefix, peer::PeerId},
};

/// Predicates, all of which a frame has to match.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Evaluated in this order.
    pub predicates: Vec<Predicate>,
}

/// One condition on a frame.
#[derive(Clone, Debug)]
pub enum Predicate {
    /// A field lies in one of these ranges.
    Number(Field, Vec<RangeInclusive<u32>>),
    /// The source lies in one of these networks.
    Source(Vec<Prefix>),
    /// The destination lies in one of these networks.
    Destination(Vec<Prefix>),
    /// Source or destination lies in one of these networks.
    Address(Vec<Prefix>),
    /// TCP, and of the flags in `mask` exactly those in `set` are set.
    TcpFlags {
        /// The flags to look at.
        mask: u8,
        /// Those that are set.
        set: u8,
    },
    /// The peer has one of these public keys.
    Peer(Vec<[u8; 32]>),
    /// A BPF program accepts the frame.
    Bpf(Program),
}

/// A numeric field of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// IP version.
    Version,
    /// IP protocol number.
    Protocol,
    /// TCP or UDP source port.
    SourcePort,
    /// TCP or UDP destination port.
    DestinationPort,
    /// Either port.
    Port,
    /// Length in bytes, from the IP header on.
    Length,
    /// Number of inner segments.
    Segments,
    /// ECN field.
    Ecn,
    /// DSCP.
    Dscp,
    /// Mark set by an earlier stage.
    Mark,
}

/// Public keys of a tunnel's peers.
pub type PeerKeys = HashMap<PeerId, [u8; 32]>;

impl Filter {
    /// Whether a frame that lies in `buffer` matches all predicates.
    pub fn matches(
        &self,
        frame: &Frame,
        buffer: &[u8],
        slices: &[Slice],
        peers: &PeerKeys,
    ) -> bool {
        self.predicates.iter().all(|predicate| predicate.matches(frame, buffer, slices, peers))
    }
}

impl Predicate {
    fn matches(&self, frame: &Frame, buffer: &[u8], slices: &[Slice], peers: &PeerKeys) -> bool {
        match self {
            Self::Number(Field::Port, ranges) => {
                has_ports(frame)
                    && (in_ranges(ranges, frame.source_port)
                        || in_ranges(ranges, frame.destination_port))
            }
            Self::Number(Field::SourcePort, ranges) => {
                has_ports(frame) && in_ranges(ranges, frame.source_port)
            }
            Self::Number(Field::DestinationPort, ranges) => {
                has_ports(frame) && in_ranges(ranges, frame.destination_port)
            }
            Self::Number(field, ranges) => in_ranges(ranges, field.of(frame)),
            Self::Source(networks) => in_networks(networks, frame.source_ip()),
            Self::Destination(networks) => in_networks(networks, frame.destination_ip()),
            Self::Address(networks) => {
                in_networks(networks, frame.source_ip())
                    || in_networks(networks, frame.destination_ip())
            }
            &Self::TcpFlags { mask, set } => {
                frame.protocol == tcp::PROTOCOL && has_ports(frame) && frame.tcp_flags & mask == set
            }
            Self::Peer(keys) => {
                peers.get(&PeerId(frame.peer)).is_some_and(|key| keys.contains(key))
            }
            Self::Bpf(program) => {
                // The headers lie in the first piece; the length is that of the whole frame.
                let mut whole = [Slice { offset: 0, length: 0 }];
                let head = pieces(frame, slices, &mut whole)[0];
                let bytes = &buffer[head.offset as usize..][..head.length as usize];
                program.matches(bytes, frame.length)
            }
        }
    }
}

impl Field {
    fn of(self, frame: &Frame) -> u32 {
        match self {
            Self::Version => frame.version.into(),
            Self::Protocol => frame.protocol.into(),
            Self::SourcePort | Self::Port => frame.source_port.into(),
            Self::DestinationPort => frame.destination_port.into(),
            Self::Length => frame.length,
            Self::Segments => frame.segments.into(),
            Self::Ecn => (frame.ds & 0b11).into(),
            Self::Dscp => (frame.ds >> 2).into(),
            Self::Mark => frame.mark,
        }
    }
}

/// Whether the frame's TCP or UDP header was parsed.
fn has_ports(frame: &Frame) -> bool {
    frame.header_length > frame.transport_offset
}

fn in_ranges(ranges: &[RangeInclusive<u32>], number: impl Into<u32>) -> bool {
    let number = number.into();
    ranges.iter().any(|range| range.contains(&number))
}

fn in_networks(networks: &[Prefix], address: IpAddr) -> bool {
    networks.iter().any(|network| Prefix::new(address, network.length()) == Some(*network))
}
