//! The allowed IPs: maps an inner address to its peer by the longest matching prefix.
//!
//! The device owns the table; the paths read immutable snapshots without a lock. A prefix belongs to one peer;
//! assigning it to another peer moves it.

mod lookup;

use std::{
    collections::BTreeMap,
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

pub use self::lookup::CachedLookup;
use prefix_trie::PrefixMap;

use crate::wireguard::peer::PeerId;

/// An address range: the bits after `length` are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    address: IpAddr,
    length: u8,
}

impl Prefix {
    /// Creates the prefix of `length` bits of `address`, whose other bits are cleared; `None` if the length exceeds
    /// the address's.
    pub fn new(address: IpAddr, length: u8) -> Option<Self> {
        let address = match address {
            IpAddr::V4(v4) if length <= 32 => {
                let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
                IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & mask))
            }
            IpAddr::V6(v6) if length <= 128 => {
                let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
                IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask))
            }
            _ => return None,
        };
        Some(Self { address, length })
    }

    /// The first address.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// The number of leading bits that all addresses share.
    pub fn length(&self) -> u8 {
        self.length
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

/// Text that is not a prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrefixError(String);

impl fmt::Display for PrefixError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "invalid prefix {:?}: expected ADDRESS/LENGTH such as 10.0.0.0/8 or fd00::/64",
            self.0
        )
    }
}

impl std::error::Error for PrefixError {}

impl FromStr for Prefix {
    type Err = PrefixError;

    /// Parses `address/length`; a bare address is a prefix of its full length.
    fn from_str(text: &str) -> Result<Self, PrefixError> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address.parse::<IpAddr>().ok(), length.parse().ok()),
            None => {
                let address = text.parse::<IpAddr>().ok();
                (address, address.map(|a| if a.is_ipv4() { 32 } else { 128 }))
            }
        };
        address
            .zip(length)
            .and_then(|(address, length)| Self::new(address, length))
            .ok_or_else(|| PrefixError(text.to_owned()))
    }
}

/// The table; a clone of it is a snapshot.
#[derive(Clone, Default)]
pub struct AllowedIps {
    v4: PrefixMap<Bits<u32>, PeerId>,
    v6: PrefixMap<Bits<u128>, PeerId>,
}

impl AllowedIps {
    /// Returns the peer with the longest prefix that covers `address`; an IPv4 address lies in its first four bytes.
    /// A version other than 4 and 6 has no peer.
    pub fn peer_for(&self, version: u8, address: &[u8; 16]) -> Option<PeerId> {
        match version {
            4 => {
                let [a, b, c, d, ..] = *address;
                let key = Bits { bits: u32::from_be_bytes([a, b, c, d]), length: 32 };
                self.v4.get_lpm(&key).map(|(_, peer)| *peer)
            }
            6 => {
                let key = Bits { bits: u128::from_be_bytes(*address), length: 128 };
                self.v6.get_lpm(&key).map(|(_, peer)| *peer)
            }
            _ => None,
        }
    }

    /// Assigns `prefix` to `peer`, and to no other. Returns whether that changed anything.
    pub fn insert(&mut self, prefix: Prefix, peer: PeerId) -> bool {
        let before = match prefix.address {
            IpAddr::V4(v4) => self.v4.insert(Bits::v4(v4, prefix.length), peer),
            IpAddr::V6(v6) => self.v6.insert(Bits::v6(v6, prefix.length), peer),
        };
        before != Some(peer)
    }

    /// Removes `prefix` if it belongs to `peer`. Returns whether that changed anything.
    pub fn remove(&mut self, prefix: Prefix, peer: PeerId) -> bool {
        match prefix.address {
            IpAddr::V4(v4) => remove_owned(&mut self.v4, Bits::v4(v4, prefix.length), peer),
            IpAddr::V6(v6) => remove_owned(&mut self.v6, Bits::v6(v6, prefix.length), peer),
        }
    }

    /// Removes all prefixes of `peer`. Returns whether that changed anything.
    pub fn remove_peer(&mut self, peer: PeerId) -> bool {
        let before = self.len();
        self.v4.retain(|_, owner| *owner != peer);
        self.v6.retain(|_, owner| *owner != peer);
        self.len() != before
    }

    /// Returns the prefixes of every peer, IPv4 before IPv6, each in the order of addresses.
    pub fn by_peer(&self) -> BTreeMap<PeerId, Vec<Prefix>> {
        let v4 = self.v4.iter().map(|(key, peer)| (*peer, key.prefix()));
        let v6 = self.v6.iter().map(|(key, peer)| (*peer, key.prefix()));
        let mut listing = BTreeMap::<PeerId, Vec<Prefix>>::new();
        for (peer, prefix) in v4.chain(v6) {
            listing.entry(peer).or_default().push(prefix);
        }
        listing
    }

    /// The number of prefixes.
    pub fn len(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    /// Whether there is no prefix.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl fmt::Debug for AllowedIps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.by_peer()).finish()
    }
}

fn remove_owned<P: prefix_trie::Prefix>(
    map: &mut PrefixMap<P, PeerId>,
    key: P,
    peer: PeerId,
) -> bool {
    map.get(&key) == Some(&peer) && map.remove(&key).is_some()
}

/// A prefix as a key of the trie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bits<T> {
    bits: T,
    length: u8,
}

impl Bits<u32> {
    fn v4(address: Ipv4Addr, length: u8) -> Self {
        Self { bits: address.to_bits(), length }
    }

    fn prefix(self) -> Prefix {
        Prefix { address: Ipv4Addr::from_bits(self.bits).into(), length: self.length }
    }
}

impl Bits<u128> {
    fn v6(address: Ipv6Addr, length: u8) -> Self {
        Self { bits: address.to_bits(), length }
    }

    fn prefix(self) -> Prefix {
        Prefix { address: Ipv6Addr::from_bits(self.bits).into(), length: self.length }
    }
}

macro_rules! trie_key {
    ($width:ty) => {
        impl prefix_trie::Prefix for Bits<$width> {
            type R = $width;

            fn repr(&self) -> $width {
                self.bits
            }

            fn prefix_len(&self) -> u8 {
                self.length
            }

            fn from_repr_len(bits: $width, length: u8) -> Self {
                Self { bits, length }
            }
        }
    };
}

trie_key!(u32);
trie_key!(u128);

#[cfg(test)]
mod tests;
