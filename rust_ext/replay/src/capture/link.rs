//! Link types, and where the IP packet lies in a frame.
//!
//! In: a frame as it was captured. Out: the range of its IP packet, without the link layer's padding
//! and check sequence; none where the link layer says that it carries something else. On links that
//! carry nothing but IP, every frame is given: what is wrong with it is for the tunnel to judge.

use std::ops::Range;

/// What lies before the IP header (tcpdump.org/linktypes.html).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkType {
    /// Nothing: a TUN.
    Raw,
    /// Ethernet, with any number of VLAN tags.
    Ethernet,
    /// Linux's "any" interface.
    LinuxCooked,
    /// Linux's "any" interface, version 2.
    LinuxCooked2,
    /// A BSD loopback: the address family in the byte order of whoever captured, or in the
    /// network's.
    Loopback,
}

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86dd;
/// 802.1Q, 802.1ad, and what switches used before 802.1ad.
const ETHERTYPES_VLAN: [u16; 3] = [0x8100, 0x88a8, 0x9100];
const VLAN_TAG_LENGTH: usize = 4;

const AF_INET: u32 = 2;
/// Linux, NetBSD and OpenBSD, FreeBSD, macOS.
const AF_INET6: [u32; 4] = [10, 24, 28, 30];
const LOOPBACK_HEADER_LENGTH: usize = 4;

/// An IP packet in a frame.
pub(super) struct Packet {
    pub(super) bytes: Range<usize>,
    /// All that the IP header says belongs to it is there.
    pub(super) is_whole: bool,
}

impl LinkType {
    /// The link type of that number; none where it is not known here.
    pub fn of(number: u16) -> Option<Self> {
        match number {
            // LINKTYPE_RAW; DLT_RAW of most systems and of OpenBSD, which some writers put into
            // files; LINKTYPE_IPV4 and LINKTYPE_IPV6.
            101 | 12 | 14 | 228 | 229 => Some(Self::Raw),
            1 => Some(Self::Ethernet),
            113 => Some(Self::LinuxCooked),
            276 => Some(Self::LinuxCooked2),
            0 | 108 => Some(Self::Loopback),
            _ => None,
        }
    }

    /// The number that stands for it in a file.
    pub fn number(self) -> u16 {
        match self {
            Self::Raw => 101,
            Self::Ethernet => 1,
            Self::LinuxCooked => 113,
            Self::LinuxCooked2 => 276,
            Self::Loopback => 0,
        }
    }

    /// What to say of a number that is not known.
    pub(super) fn unknown(number: u16) -> String {
        format!(
            "link type {number} is not known; known are raw IP (101, 12, 14, 228, 229), Ethernet \
             (1), Linux cooked (113, 276) and loopback (0, 108)"
        )
    }

    /// Where the IP packet of a frame lies.
    #[inline]
    pub(super) fn packet(self, frame: &[u8]) -> Option<Packet> {
        let start = match self {
            Self::Raw => Some(0),
            Self::Ethernet => behind_ethertype(frame, 12, 14),
            Self::LinuxCooked => behind_ethertype(frame, 14, 16),
            Self::LinuxCooked2 => behind_ethertype(frame, 0, 20),
            Self::Loopback => behind_family(frame),
        }?;
        let there = frame.get(start..)?;
        Some(match ip_length(there) {
            Some(length) if length <= there.len() => {
                Packet { bytes: start..start + length, is_whole: true }
            }
            _ => Packet { bytes: start..frame.len(), is_whole: false },
        })
    }
}

/// Bytes of the IP packet that `bytes` begin with, by its own header. `None` where the header is cut
/// or says nothing: a length of 0 is a super-packet that was caught before it was split.
pub(crate) fn ip_length(bytes: &[u8]) -> Option<usize> {
    match bytes.first()? >> 4 {
        4 => {
            let length = usize::from(word(bytes, 2)?);
            (length >= 20).then_some(length)
        }
        6 => {
            let length = usize::from(word(bytes, 4)?);
            (length > 0 || bytes.get(6) == Some(&59)).then_some(40 + length)
        }
        _ => None,
    }
}

/// Where the packet begins if the EtherType, or the one behind VLAN tags, says IP. `at` is where
/// the EtherType is, `start` where what it speaks of begins.
#[inline]
fn behind_ethertype(frame: &[u8], at: usize, start: usize) -> Option<usize> {
    let mut ethertype = word(frame, at)?;
    let mut start = start;
    while ETHERTYPES_VLAN.contains(&ethertype) {
        // A tag is two bytes of its own and the EtherType of what follows.
        ethertype = word(frame, start + 2)?;
        start += VLAN_TAG_LENGTH;
    }
    matches!(ethertype, ETHERTYPE_IPV4 | ETHERTYPE_IPV6).then_some(start)
}

fn behind_family(frame: &[u8]) -> Option<usize> {
    let header = frame.first_chunk::<LOOPBACK_HEADER_LENGTH>()?;
    let families = [u32::from_le_bytes(*header), u32::from_be_bytes(*header)];
    families
        .iter()
        .any(|family| *family == AF_INET || AF_INET6.contains(family))
        .then_some(LOOPBACK_HEADER_LENGTH)
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes = bytes.get(at..at + 2)?;
    Some(u16::from_be_bytes([bytes[0], bytes[1]]))
}
