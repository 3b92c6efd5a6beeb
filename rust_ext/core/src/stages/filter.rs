//! filter: which frames a stage sees, or asks for.
//!
//! In: predicates, each a question about one frame. Out: whether all hold. Drops nothing; order is the
//! asker's.

use std::{collections::HashMap, net::IpAddr, ops::RangeInclusive};

use crate::{
    bpf::Program,
    frame::{Frame, Slice},
    packet::pieces::pieces,
    wireguard::{allowed_ips::Prefix, peer::PeerId},
};

/// Questions, all of which must hold.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// In the order in which they are asked.
    pub predicates: Vec<Predicate>,
}

/// One question.
#[derive(Clone, Debug)]
pub enum Predicate {
    /// A number of the frame's lies in one of these ranges.
    Number(Field, Vec<RangeInclusive<u32>>),
    /// The source lies in one of these networks.
    Source(Vec<Prefix>),
    /// The destination does.
    Destination(Vec<Prefix>),
    /// Either does.
    Address(Vec<Prefix>),
    /// TCP, and of the flags in the first, just those in the second are set.
    TcpFlags(u8, u8),
    /// Sent by or to a peer with one of these public keys.
    Peer(Vec<[u8; 32]>),
    /// A filter program says so.
    Bpf(Program),
}

/// A number that each frame has.
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
    /// Bytes from the IP header on.
    Length,
    /// Inner segments.
    Segments,
    /// ECN field.
    Ecn,
    /// DSCP.
    Dscp,
    /// What a stage before wrote on it.
    Mark,
}

/// The public keys of a tunnel's peers, by number.
pub type PeerNames = HashMap<PeerId, [u8; 32]>;

impl Filter {
    /// Whether all hold for a frame that lies in `buffer`.
    pub fn holds(&self, frame: &Frame, buffer: &[u8], slices: &[Slice], peers: &PeerNames) -> bool {
        self.predicates.iter().all(|word| word.holds(frame, buffer, slices, peers))
    }
}

impl Predicate {
    fn holds(&self, frame: &Frame, buffer: &[u8], slices: &[Slice], peers: &PeerNames) -> bool {
        match self {
            Self::Number(Field::Port, ranges) => {
                has_ports(frame)
                    && (within(ranges, frame.source_port) || within(ranges, frame.destination_port))
            }
            Self::Number(Field::SourcePort, ranges) => {
                has_ports(frame) && within(ranges, frame.source_port)
            }
            Self::Number(Field::DestinationPort, ranges) => {
                has_ports(frame) && within(ranges, frame.destination_port)
            }
            Self::Number(field, ranges) => within(ranges, field.of(frame)),
            Self::Source(networks) => covers(networks, frame.source_ip()),
            Self::Destination(networks) => covers(networks, frame.destination_ip()),
            Self::Address(networks) => {
                covers(networks, frame.source_ip()) || covers(networks, frame.destination_ip())
            }
            Self::TcpFlags(mask, set) => {
                frame.protocol == crate::packet::tcp::PROTOCOL
                    && has_ports(frame)
                    && frame.tcp_flags & mask == *set
            }
            Self::Peer(keys) => {
                peers.get(&PeerId(frame.peer)).is_some_and(|key| keys.contains(key))
            }
            Self::Bpf(program) => {
                // The headers lie in the first piece; the length is the whole frame's.
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

/// Whether a TCP or UDP header was read.
fn has_ports(frame: &Frame) -> bool {
    frame.header_length > frame.transport_offset
}

fn within(ranges: &[RangeInclusive<u32>], number: impl Into<u32>) -> bool {
    let number = number.into();
    ranges.iter().any(|range| range.contains(&number))
}

fn covers(networks: &[Prefix], address: IpAddr) -> bool {
    networks.iter().any(|network| Prefix::new(address, network.length()) == Some(*network))
}
