//! The table against a linear search.

use proptest::prelude::*;

use super::*;

fn prefix(text: &str) -> Prefix {
    text.parse().unwrap()
}

fn owner(table: &AllowedIps, address: &str) -> Option<u32> {
    let (version, bytes) = version_and_bytes(address.parse().unwrap());
    table.peer_for(version, &bytes).map(|peer| peer.0)
}

fn version_and_bytes(address: IpAddr) -> (u8, [u8; 16]) {
    match address {
        IpAddr::V4(v4) => {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&v4.octets());
            (4, bytes)
        }
        IpAddr::V6(v6) => (6, v6.octets()),
    }
}

fn table(entries: &[(&str, u32)]) -> AllowedIps {
    let mut table = AllowedIps::default();
    for (text, peer) in entries {
        table.insert(prefix(text), PeerId(*peer));
    }
    table
}

#[test]
fn the_longest_prefix_wins() {
    let table = table(&[
        ("0.0.0.0/0", 1),
        ("192.168.4.0/24", 2),
        ("192.168.4.4/32", 3),
        ("192.168.0.0/16", 4),
        ("10.0.0.0/9", 5),
        ("10.128.0.0/9", 6),
        ("::/0", 7),
        ("fd00::/64", 8),
        ("fd00::1/128", 9),
    ]);
    let expected = [
        ("192.168.4.20", 2),
        ("192.168.4.4", 3),
        ("192.168.200.182", 4),
        ("10.127.255.255", 5),
        ("10.128.0.0", 6),
        ("1.2.3.4", 1),
        ("255.255.255.255", 1),
        ("2001:db8::1", 7),
        ("fd00::2", 8),
        ("fd00::1", 9),
        ("fd00:0:0:1::", 7),
    ];
    for (address, peer) in expected {
        assert_eq!(owner(&table, address), Some(peer), "{address}");
    }
}

#[test]
fn an_address_family_does_not_cover_the_other() {
    assert_eq!(owner(&table(&[("::/0", 1)]), "0.0.0.0"), None);
    assert_eq!(owner(&table(&[("0.0.0.0/0", 1)]), "::"), None);
    assert_eq!(table(&[("0.0.0.0/0", 1), ("::/0", 1)]).peer_for(5, &[0; 16]), None);
}

#[test]
fn a_prefix_assigned_to_another_peer_moves() {
    let mut table = table(&[("10.0.0.0/8", 1)]);
    assert!(!table.insert(prefix("10.0.0.0/8"), PeerId(1)));
    assert!(table.insert(prefix("10.0.0.0/8"), PeerId(2)));
    assert_eq!(owner(&table, "10.1.2.3"), Some(2));
    assert!(!table.by_peer().contains_key(&PeerId(1)));
    assert!(!table.remove(prefix("10.0.0.0/8"), PeerId(1)), "it belongs to the other peer now");
    assert_eq!(owner(&table, "10.1.2.3"), Some(2));
}

#[test]
fn host_bits_are_cleared() {
    assert_eq!(prefix("10.1.2.3/8"), prefix("10.0.0.0/8"));
    assert_eq!(prefix("fd00::1/0").to_string(), "::/0");
    assert_eq!(prefix("192.0.2.7").to_string(), "192.0.2.7/32");
    assert_eq!(prefix("fd00::7").to_string(), "fd00::7/128");
}

#[test]
fn errors_quote_the_text() {
    for text in ["", "10.0.0.0/33", "::/129", "10.0.0.0/", "host/8", "10.0.0.0/-1", "10.0.0.0/8/8"]
    {
        let error = text.parse::<Prefix>().unwrap_err();
        assert!(error.to_string().contains(&format!("{text:?}")), "{error}");
    }
}

#[test]
fn the_listing_is_sorted_with_ipv4_first() {
    let listing = table(&[("fd00::/8", 1), ("10.0.0.0/8", 1), ("9.0.0.0/8", 1), ("8.0.0.0/8", 2)]);
    assert_eq!(
        listing.by_peer()[&PeerId(1)],
        [prefix("9.0.0.0/8"), prefix("10.0.0.0/8"), prefix("fd00::/8")]
    );
}

/// Addresses from a small set, so that prefixes nest and collide.
fn addresses() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        (0u32..64, 0u32..4).prop_map(|(high, low)| Ipv4Addr::from_bits(high << 26 | low).into()),
        (0u128..64, 0u128..4).prop_map(|(high, low)| Ipv6Addr::from_bits(high << 122 | low).into()),
    ]
}

fn prefixes() -> impl Strategy<Value = Prefix> {
    (addresses(), 0u8..=128).prop_map(|(address, length)| {
        let widest = if address.is_ipv4() { 32 } else { 128 };
        Prefix::new(address, length % (widest + 1)).unwrap()
    })
}

#[derive(Clone, Debug)]
enum Change {
    Insert(Prefix, u32),
    Remove(Prefix, u32),
    RemovePeer(u32),
}

fn changes() -> impl Strategy<Value = Change> {
    prop_oneof![
        6 => (prefixes(), 0u32..4).prop_map(|(prefix, peer)| Change::Insert(prefix, peer)),
        2 => (prefixes(), 0u32..4).prop_map(|(prefix, peer)| Change::Remove(prefix, peer)),
        1 => (0u32..4).prop_map(Change::RemovePeer),
    ]
}

proptest! {
    #[test]
    fn the_table_agrees_with_a_linear_search(
        changes in prop::collection::vec(changes(), 0..60),
        queried in prop::collection::vec(addresses(), 1..20),
    ) {
        let mut table = AllowedIps::default();
        let mut list: Vec<(Prefix, u32)> = Vec::new();
        for change in changes {
            match change {
                Change::Insert(prefix, peer) => {
                    table.insert(prefix, PeerId(peer));
                    list.retain(|(p, _)| *p != prefix);
                    list.push((prefix, peer));
                }
                Change::Remove(prefix, peer) => {
                    table.remove(prefix, PeerId(peer));
                    list.retain(|entry| *entry != (prefix, peer));
                }
                Change::RemovePeer(peer) => {
                    table.remove_peer(PeerId(peer));
                    list.retain(|(_, p)| *p != peer);
                }
            }
        }
        for address in queried {
            let best = list
                .iter()
                .filter(|(p, _)| Prefix::new(address, p.length()) == Some(*p))
                .max_by_key(|(p, _)| p.length());
            let (version, bytes) = version_and_bytes(address);
            prop_assert_eq!(table.peer_for(version, &bytes), best.map(|(_, peer)| PeerId(*peer)));
        }
        let mut listed: Vec<(Prefix, u32)> = table
            .by_peer()
            .into_iter()
            .flat_map(|(peer, prefixes)| prefixes.into_iter().map(move |p| (p, peer.0)))
            .collect();
        listed.sort();
        list.sort();
        prop_assert_eq!(listed, list);
    }
}
