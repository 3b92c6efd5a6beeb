//! Link types, and the IP packet in a frame.
//!
//! The packet excludes the link layer's padding and check sequence. On links that carry only IP, every frame
//! counts as a packet, even an invalid one.

use std::ops::Range;

/// The link-layer header (tcpdump.org/linktypes.html).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkType {
    /// None, as on a TUN.
    Raw,
    /// Ethernet with any number of VLAN tags.
    Ethernet,
    /// Linux's "any" interface.
    LinuxCooked,
    /// Linux's "any" interface, version 2.
    LinuxCooked2,
    /// BSD loopback: the address family in host or network byte order.
    Loopback,
}

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86dd;
/// 802.1Q, 802.1ad, and the type in use before 802.1ad.
const ETHERTYPES_VLAN: [u16; 3] = [0x8100, 0x88a8, 0x9100];
const VLAN_TAG_LENGTH: usize = 4;

const AF_INET: u32 = 2;
/// Linux, NetBSD and OpenBSD, FreeBSD, macOS.
const AF_INET6: [u32; 4] = [10, 24, 28, 30];
const LOOPBACK_HEADER_LENGTH: usize = 4;

/// An IP packet in a frame.
pub(super) struct Packet {
    pub(super) bytes: Range<usize>,
    /// Whether the frame holds as many bytes as the IP header claims.
    pub(super) is_complete: bool,
}

impl LinkType {
    /// Returns the link type of a number, if it is supported.
    pub fn from_number(number: u16) -> Option<Self> {
        match number {
            // LINKTYPE_RAW; DLT_RAW of most systems and of OpenBSD, which some writers use; LINKTYPE_IPV4 and
            // LINKTYPE_IPV6.
            101 | 12 | 14 | 228 | 229 => Some(Self::Raw),
            1 => Some(Self::Ethernet),
            113 => Some(Self::LinuxCooked),
            276 => Some(Self::LinuxCooked2),
            0 | 108 => Some(Self::Loopback),
            _ => None,
        }
    }

    /// Returns its number in a file.
    pub fn number(self) -> u16 {
        match self {
            Self::Raw => 101,
            Self::Ethernet => 1,
            Self::LinuxCooked => 113,
            Self::LinuxCooked2 => 276,
            Self::Loopback => 0,
        }
    }

    /// Returns the error text for a number that is not supported.
    pub(super) fn unsupported(number: u16) -> String {
        format!(
            "link type {number} is not supported; expected raw IP (101, 12, 14, 228, 229), Ethernet \
             (1), Linux cooked (113, 276) or loopback (0, 108)"
        )
    }

    /// Returns the IP packet of a frame; `None` if the link layer carries another protocol.
    #[inline]
    pub(super) fn packet(self, frame: &[u8]) -> Option<Packet> {
        let start = match self {
            Self::Raw => Some(0),
            Self::Ethernet => after_ethertype(frame, 12, 14),
            Self::LinuxCooked => after_ethertype(frame, 14, 16),
            Self::LinuxCooked2 => after_ethertype(frame, 0, 20),
            Self::Loopback => after_family(frame),
        }?;
        let rest = frame.get(start..)?;
        Some(match ip_length(rest) {
            Some(length) if length <= rest.len() => {
                Packet { bytes: start..start + length, is_complete: true }
            }
            _ => Packet { bytes: start..frame.len(), is_complete: false },
        })
    }
}

/// Returns the length of the IP packet at the start of `bytes`, from its header. `None` if the header is
/// truncated or has a length of 0, as a super-packet captured before segmentation.
pub(crate) fn ip_length(bytes: &[u8]) -> Option<usize> {
    match bytes.first()? >> 4 {
        4 => {
            let length = usize::from(u16_at(bytes, 2)?);
            (length >= 20).then_some(length)
        }
        6 => {
            let length = usize::from(u16_at(bytes, 4)?);
            (length > 0 || bytes.get(6) == Some(&59)).then_some(40 + length)
        }
        _ => None,
    }
}

/// Returns the start of the packet if the EtherType at `at`, or the one after VLAN tags, is IP. `start` is
/// the end of the header without tags.
#[inline]
fn after_ethertype(frame: &[u8], at: usize, start: usize) -> Option<usize> {
    let mut ethertype = u16_at(frame, at)?;
    let mut start = start;
    while ETHERTYPES_VLAN.contains(&ethertype) {
        // A tag is two bytes and the next EtherType.
        ethertype = u16_at(frame, start + 2)?;
        start += VLAN_TAG_LENGTH;
    }
    matches!(ethertype, ETHERTYPE_IPV4 | ETHERTYPE_IPV6).then_some(start)
}

fn after_family(frame: &[u8]) -> Option<usize> {
    let header = frame.first_chunk::<LOOPBACK_HEADER_LENGTH>()?;
    let families = [u32::from_le_bytes(*header), u32::from_be_bytes(*header)];
    families
        .iter()
        .any(|family| *family == AF_INET || AF_INET6.contains(family))
        .then_some(LOOPBACK_HEADER_LENGTH)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes = bytes.get(at..at + 2)?;
    Some(u16::from_be_bytes([bytes[0], bytes[1]]))
}
