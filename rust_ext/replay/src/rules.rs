//! Batching rules for comparison with pyfw's own.
//!
//! Each rule groups the datagrams of one drain, given in the order in which they were sealed, and returns the
//! batches in the order in which it would send them. [`Rule::Unbatched`] preserves the order of all
//! datagrams; the others do not. [`Rule::Ordered`] is the core's and does not use this module.

use pyfw_core::outbound::gso_batch::{Target, send_limit};

use crate::plan::Rule;

/// A sealed datagram and where it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// Destination, source and DS byte.
    pub target: Target,
    /// The UDP payload.
    pub bytes: Vec<u8>,
}

/// The datagrams of one batch.
pub type Group = Vec<Datagram>;

/// Groups the datagrams of a drain into batches.
pub fn group(rule: Rule, datagrams: Vec<Datagram>, max_segments: usize) -> Vec<Group> {
    match rule {
        Rule::Ordered | Rule::Unbatched => datagrams.into_iter().map(|d| vec![d]).collect(),
        Rule::BySize => by_size(datagrams, max_segments),
        Rule::ByEcn => by_ecn(datagrams, max_segments),
    }
}

/// Firezone before PR 8920: one bin per source, destination, ECN and exact length. The longest datagrams
/// leave first; bins of one length leave in the order in which they were opened.
fn by_size(datagrams: Vec<Datagram>, max_segments: usize) -> Vec<Group> {
    let mut bins: Vec<Group> = Vec::new();
    for datagram in datagrams {
        let can_join = |bin: &Group| {
            bin[0].target == datagram.target
                && bin[0].bytes.len() == datagram.bytes.len()
                && has_room(bin, &datagram, max_segments)
        };
        match bins.iter_mut().rev().find(|bin| can_join(bin)) {
            Some(bin) => bin.push(datagram),
            None => bins.push(vec![datagram]),
        }
    }
    bins.sort_by_key(|bin| std::cmp::Reverse(bin[0].bytes.len()));
    bins
}

/// PR 8920: one ordered list of batches per source, destination and ECN. The lists leave one after the other,
/// so a flow whose ECN field changes overtakes itself.
fn by_ecn(datagrams: Vec<Datagram>, max_segments: usize) -> Vec<Group> {
    let mut lists: Vec<Vec<Group>> = Vec::new();
    for datagram in datagrams {
        let same = lists.iter_mut().find(|list| list[0][0].target == datagram.target);
        let Some(list) = same else {
            lists.push(vec![vec![datagram]]);
            continue;
        };
        match list.last_mut() {
            Some(batch)
                if !is_closed(batch)
                    && datagram.bytes.len() <= batch[0].bytes.len()
                    && has_room(batch, &datagram, max_segments) =>
            {
                batch.push(datagram);
            }
            _ => list.push(vec![datagram]),
        }
    }
    lists.into_iter().flatten().collect()
}

fn is_closed(batch: &Group) -> bool {
    batch.last().is_some_and(|last| last.bytes.len() < batch[0].bytes.len())
}

fn has_room(batch: &Group, datagram: &Datagram, max_segments: usize) -> bool {
    let length: usize = batch.iter().map(|d| d.bytes.len()).sum();
    batch.len() < max_segments
        && length + datagram.bytes.len() <= send_limit(&datagram.target.path.destination)
}

#[cfg(test)]
mod tests {
    use pyfw_core::wireguard::{path::Path, peer::PeerId};

    use super::*;

    const SEED: [usize; 10] = [1228, 834, 1031, 1228, 834, 1228, 1228, 637, 1228, 1228];

    #[test]
    fn by_size_sends_long_datagrams_first() {
        let groups = group(Rule::BySize, datagrams(&SEED, &[0]), 64);
        assert_eq!(lengths(&groups), [vec![1228; 6], vec![1031], vec![834; 2], vec![637]]);
        assert_eq!(numbers(&groups), [0, 3, 5, 6, 8, 9, 2, 1, 4, 7]);
    }

    #[test]
    fn by_ecn_keeps_a_flow_of_one_ecn_in_order() {
        let groups = group(Rule::ByEcn, datagrams(&SEED, &[0]), 64);
        assert_eq!(numbers(&groups), (0..10).collect::<Vec<_>>());
        assert_eq!(groups.iter().map(Vec::len).collect::<Vec<_>>(), [2, 1, 2, 3, 2]);
    }

    #[test]
    fn by_ecn_reorders_a_flow_whose_ecn_changes() {
        let groups = group(Rule::ByEcn, datagrams(&[100; 4], &[0, 3]), 64);
        assert_eq!(numbers(&groups), [0, 2, 1, 3]);
    }

    #[test]
    fn unbatched_sends_each_datagram_alone() {
        let groups = group(Rule::Unbatched, datagrams(&SEED, &[0]), 64);
        assert_eq!(numbers(&groups), (0..10).collect::<Vec<_>>());
        assert!(groups.iter().all(|group| group.len() == 1));
    }

    fn datagrams(lengths: &[usize], ecn: &[u8]) -> Vec<Datagram> {
        let path = Path::to(([192, 0, 2, 1], 1).into());
        lengths
            .iter()
            .enumerate()
            .map(|(number, &length)| Datagram {
                target: Target { peer: PeerId(0), path, ds: ecn[number % ecn.len()] },
                bytes: vec![number as u8; length],
            })
            .collect()
    }

    fn lengths(groups: &[Group]) -> Vec<Vec<usize>> {
        groups.iter().map(|g| g.iter().map(|d| d.bytes.len()).collect()).collect()
    }

    fn numbers(groups: &[Group]) -> Vec<u8> {
        groups.iter().flatten().map(|d| d.bytes[0]).collect()
    }
}
