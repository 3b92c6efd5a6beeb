//! What the kernel reported for each destination: the route's MTU, GSO refusals, unusable sources, outages.
//!
//! The route's MTU is read once a second while something is sent, and after a refusal. GSO is suspended for a
//! minute, doubling to an hour; a source for a second.

use std::{collections::HashMap, net::SocketAddr};

use pyfw_core::{
    time::SECOND_NS,
    wireguard::path::{Path, Source},
};

use crate::engine::failure_log::FailureLog;

/// How long GSO is suspended for a destination that refused it: at first, and at most.
const GSO_PAUSE_NS: (u64, u64) = (60 * SECOND_NS, 3600 * SECOND_NS);
/// How long an unusable source is left out: until the control thread has removed it from the path. It may
/// become usable again, and the peer may accept replies from no other.
const SOURCE_PAUSE_NS: u64 = SECOND_NS;
/// How often the route's MTU is read: ICMP may have lowered it, its age or the link may have raised it, and
/// if the kernel fragments, sending shows neither.
const MTU_CHECK_NS: u64 = SECOND_NS;
/// Entries at most; beyond it the cache is cleared.
const CAPACITY: usize = 16_384;

#[derive(Default)]
pub(super) struct DestinationCache {
    entries: HashMap<SocketAddr, Destination>,
    /// Destinations whose last send failed.
    outages: usize,
}

#[derive(Default)]
struct Destination {
    mtu_checked_ns: u64,
    /// The route's; 0 if unknown.
    mtu: usize,
    gso_off_until_ns: u64,
    gso_pause_ns: u64,
    lost_source: Option<Source>,
    lost_source_until_ns: u64,
    failure_log: FailureLog,
}

/// How to send to a destination.
#[derive(Clone, Copy)]
pub(super) struct SendOptions {
    /// The longest datagram that may be sent in a GSO batch, because the kernel does not fragment those; 0:
    /// no GSO.
    max_segment_size: usize,
    lost_source: Option<Source>,
}

impl SendOptions {
    /// Whether datagrams of this length may be sent as one GSO batch.
    pub(super) fn allows_gso(&self, segment_size: usize) -> bool {
        segment_size <= self.max_segment_size
    }

    /// Returns the path, without its source if that is unusable.
    pub(super) fn path(&self, path: Path) -> Path {
        Path { source: path.source.filter(|source| self.lost_source != Some(*source)), ..path }
    }
}

impl DestinationCache {
    /// Removes all entries.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(super) fn send_options(&self, destination: &SocketAddr, now_ns: u64) -> SendOptions {
        let Some(entry) = self.entries.get(destination) else {
            return SendOptions { max_segment_size: usize::MAX, lost_source: None };
        };
        let has_gso = now_ns >= entry.gso_off_until_ns;
        let max_datagram_size = entry.max_datagram_size(destination).unwrap_or(usize::MAX);
        SendOptions {
            max_segment_size: if has_gso { max_datagram_size } else { 0 },
            lost_source: entry.lost_source.filter(|_| now_ns < entry.lost_source_until_ns),
        }
    }

    /// Returns whether to read the route's MTU now, at most once per [`MTU_CHECK_NS`].
    pub(super) fn is_mtu_check_due(&mut self, destination: &SocketAddr, now_ns: u64) -> bool {
        let entry = self.entry(destination);
        let is_due = entry.mtu_checked_ns == 0
            || now_ns.saturating_sub(entry.mtu_checked_ns) >= MTU_CHECK_NS;
        if is_due {
            entry.mtu_checked_ns = now_ns;
        }
        is_due
    }

    /// Sets the route's MTU.
    pub(super) fn set_mtu(&mut self, destination: &SocketAddr, mtu: usize) -> MtuChange {
        match std::mem::replace(&mut self.entry(destination).mtu, mtu) {
            0 => MtuChange::First,
            before if before == mtu => MtuChange::None,
            _ => MtuChange::Changed,
        }
    }

    /// Returns the longest datagram that fits the route's MTU, if that is known.
    pub(super) fn max_datagram_size(&self, destination: &SocketAddr) -> Option<usize> {
        self.entries.get(destination)?.max_datagram_size(destination)
    }

    /// Suspends GSO to a destination. Returns for how long.
    pub(super) fn pause_gso(&mut self, destination: &SocketAddr, now_ns: u64) -> u64 {
        let entry = self.entry(destination);
        entry.gso_pause_ns = (entry.gso_pause_ns * 2).clamp(GSO_PAUSE_NS.0, GSO_PAUSE_NS.1);
        entry.gso_off_until_ns = now_ns + entry.gso_pause_ns;
        entry.gso_pause_ns
    }

    /// Leaves a source out for [`SOURCE_PAUSE_NS`].
    pub(super) fn pause_source(
        &mut self,
        destination: &SocketAddr,
        source: Option<Source>,
        now_ns: u64,
    ) {
        let entry = self.entry(destination);
        entry.lost_source = source;
        entry.lost_source_until_ns = now_ns + SOURCE_PAUSE_NS;
    }

    /// Counts datagrams that could not be sent. Returns whether to log the outage.
    pub(super) fn fail(&mut self, destination: &SocketAddr, count: usize, now_ns: u64) -> bool {
        let failure_log = &mut self.entry(destination).failure_log;
        let is_new = !failure_log.is_failing();
        let is_logged = failure_log.fail(count as u64, now_ns);
        self.outages += usize::from(is_new);
        is_logged
    }

    /// Whether the last send to any destination failed.
    pub(super) fn has_outages(&self) -> bool {
        self.outages != 0
    }

    /// Notes a successful send. Returns the number of datagrams lost before it if the end of an outage is to
    /// be logged.
    pub(super) fn succeed(&mut self, destination: &SocketAddr) -> Option<u64> {
        let entry =
            self.entries.get_mut(destination).filter(|entry| entry.failure_log.is_failing())?;
        self.outages -= 1;
        entry.failure_log.recover()
    }

    fn entry(&mut self, destination: &SocketAddr) -> &mut Destination {
        if self.entries.len() >= CAPACITY && !self.entries.contains_key(destination) {
            self.clear();
        }
        self.entries.entry(*destination).or_default()
    }
}

/// How a route's MTU changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MtuChange {
    None,
    /// It was unknown before.
    First,
    Changed,
}

impl Destination {
    fn max_datagram_size(&self, destination: &SocketAddr) -> Option<usize> {
        let headers = if destination.is_ipv4() { 20 + 8 } else { 40 + 8 };
        (self.mtu > headers).then(|| self.mtu - headers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn destination() -> SocketAddr {
        "192.0.2.1:9".parse().unwrap()
    }

    #[test]
    fn gso_segments_are_limited_by_the_route_mtu() {
        let mut cache = DestinationCache::default();
        assert!(cache.send_options(&destination(), 1).allows_gso(60_000));
        assert_eq!(cache.set_mtu(&destination(), 1500), MtuChange::First);
        assert_eq!(cache.max_datagram_size(&destination()), Some(1472));
        assert!(cache.send_options(&destination(), 1).allows_gso(1472));
        assert_eq!(cache.set_mtu(&destination(), 1340), MtuChange::Changed);
        assert_eq!(cache.set_mtu(&destination(), 1340), MtuChange::None);
        let send_options = cache.send_options(&destination(), 1);
        assert!(send_options.allows_gso(1312) && !send_options.allows_gso(1313));
        let v6 = "[2001:db8::1]:9".parse().unwrap();
        cache.set_mtu(&v6, 1340);
        assert_eq!(cache.max_datagram_size(&v6), Some(1292));
    }

    #[test]
    fn the_mtu_is_read_once_a_second() {
        let mut cache = DestinationCache::default();
        let mut checks = 0;
        for tenth in 0..50 {
            if cache.is_mtu_check_due(&destination(), tenth * SECOND_NS / 10 + 1) {
                cache.set_mtu(&destination(), 1500);
                checks += 1;
            }
        }
        assert_eq!(checks, 5);
    }

    #[test]
    fn gso_pauses_double_up_to_an_hour() {
        let mut cache = DestinationCache::default();
        assert_eq!(cache.pause_gso(&destination(), 0), 60 * SECOND_NS);
        assert!(!cache.send_options(&destination(), 59 * SECOND_NS).allows_gso(1));
        assert!(cache.send_options(&destination(), 60 * SECOND_NS).allows_gso(1));
        let pauses: Vec<_> =
            (0..7).map(|_| cache.pause_gso(&destination(), 0) / SECOND_NS).collect();
        assert_eq!(pauses, [120, 240, 480, 960, 1920, 3600, 3600]);
    }

    #[test]
    fn an_outage_ends_with_a_send_to_the_same_destination() {
        let mut cache = DestinationCache::default();
        let other = "192.0.2.2:9".parse().unwrap();
        assert!(cache.fail(&destination(), 3, SECOND_NS));
        assert!(!cache.fail(&destination(), 4, 2 * SECOND_NS));
        assert_eq!(cache.succeed(&other), None);
        assert!(cache.has_outages());
        assert_eq!(cache.succeed(&destination()), Some(7));
        assert!(!cache.has_outages());
    }
}
