//! Batches and datagrams counted per connection (outer source and destination).

use std::{collections::BTreeMap, net::SocketAddr};

/// The largest batch that any kernel sends (UDP_MAX_SEGMENTS).
const MAX_SEGMENTS: usize = 128;

type Key = (SocketAddr, SocketAddr);

/// Counts of one connection.
#[derive(Clone, Debug, Default)]
pub struct ConnectionCounts {
    /// Batches sent.
    pub batches: u64,
    /// Datagrams in them.
    pub datagrams: u64,
    /// Number of batches by their number of datagrams.
    pub sizes: Vec<u64>,
}

impl ConnectionCounts {
    fn add(&mut self, datagrams: usize) {
        self.batches += 1;
        self.datagrams += datagrams as u64;
        self.sizes.resize(MAX_SEGMENTS + 1, 0);
        self.sizes[datagrams.min(MAX_SEGMENTS)] += 1;
    }
}

/// Counts of all connections.
#[derive(Default)]
pub(crate) struct Connections {
    counts: BTreeMap<Key, ConnectionCounts>,
    /// The connection that sent last, taken out of `counts` to save the look-up.
    last: Option<(Key, ConnectionCounts)>,
}

impl Connections {
    /// Counts a batch of `datagrams`.
    pub(crate) fn add_batch(&mut self, key: Key, datagrams: usize) {
        match &mut self.last {
            Some((last, counts)) if *last == key => counts.add(datagrams),
            last => {
                let mut counts = self.counts.remove(&key).unwrap_or_default();
                counts.add(datagrams);
                self.counts.extend(last.replace((key, counts)));
            }
        }
    }

    pub(crate) fn finish(mut self) -> BTreeMap<Key, ConnectionCounts> {
        self.counts.extend(self.last);
        self.counts
    }
}
