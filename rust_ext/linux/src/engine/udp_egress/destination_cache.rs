//! What the sending end knows of each destination: how long a datagram may be, whether batches are taken,
//! which source leads nowhere, whether anything gets out at all.
//!
//! In: what the kernel answers, when it is asked and when it refuses. Out: how to send. Drops: nothing.
//! Time: the route's MTU is asked for once a second while something is sent, and at a refusal; GSO is left
//! out for a minute, doubling to an hour; a source for a second.

use std::{collections::HashMap, net::SocketAddr};

use pyfw_core::{
    time::SECOND_NS,
    wireguard::path::{Path, Source},
};

use crate::engine::failure_log::FailureLog;

/// How long GSO stays off for a destination that refused it, at first and at most.
const GSO_PAUSE_NS: (u64, u64) = (60 * SECOND_NS, 3600 * SECOND_NS);
/// How long a source that led nowhere is left out: until control has taken it out of the path. It may
/// come back, and then the peer takes answers from no other.
const SOURCE_LEFT_OUT_NS: u64 = SECOND_NS;
/// How often the route's MTU is asked for: an ICMP message may have lowered it, its age or the link may
/// have raised it, and a datagram that the kernel fragments tells of neither.
const LOOK_NS: u64 = SECOND_NS;
/// Destinations that are remembered.
const DESTINATIONS: usize = 16_384;

/// The destinations.
#[derive(Default)]
pub(crate) struct DestinationCache {
    by_destination: HashMap<SocketAddr, Destination>,
    /// Destinations that nothing gets out to.
    outages: usize,
}

/// One of them.
#[derive(Default)]
struct Destination {
    looked_ns: u64,
    /// Of the route, as the kernel said last; 0 before.
    mtu: usize,
    gso_off_until_ns: u64,
    gso_pause_ns: u64,
    lost_source: Option<Source>,
    lost_source_until_ns: u64,
    failure_log: FailureLog,
}

/// How to send to a destination.
#[derive(Clone, Copy)]
pub(crate) struct SendOptions {
    /// Longest datagram of a batch; the kernel does not fragment those. 0: no batches.
    batches_up_to: usize,
    lost_source: Option<Source>,
}

impl SendOptions {
    /// Whether datagrams of this length may be sent as one batch.
    pub(crate) fn takes_batches_of(&self, length: usize) -> bool {
        length <= self.batches_up_to
    }

    /// The path, without a source that leads nowhere.
    pub(crate) fn path(&self, path: Path) -> Path {
        Path { source: path.source.filter(|source| self.lost_source != Some(*source)), ..path }
    }
}

impl DestinationCache {
    /// Other sockets: what the kernel said of the old ones may not hold.
    pub(crate) fn forget(&mut self) {
        *self = Self::default();
    }

    pub(crate) fn send_options(&self, destination: &SocketAddr, now_ns: u64) -> SendOptions {
        let Some(way) = self.by_destination.get(destination) else {
            return SendOptions { batches_up_to: usize::MAX, lost_source: None };
        };
        let gso = now_ns >= way.gso_off_until_ns;
        let max_datagram_size = way.max_datagram_size(destination).unwrap_or(usize::MAX);
        SendOptions {
            batches_up_to: if gso { max_datagram_size } else { 0 },
            lost_source: way.lost_source.filter(|_| now_ns < way.lost_source_until_ns),
        }
    }

    /// Whether it is time to ask for the route's MTU.
    pub(crate) fn is_due(&mut self, destination: &SocketAddr, now_ns: u64) -> bool {
        let way = self.of(destination);
        let is_due = way.looked_ns == 0 || now_ns.saturating_sub(way.looked_ns) >= LOOK_NS;
        if is_due {
            way.looked_ns = now_ns;
        }
        is_due
    }

    /// The route's MTU. Says whether it is another than before, or the first one known.
    pub(crate) fn set_mtu(&mut self, destination: &SocketAddr, mtu: usize) -> MtuChange {
        match std::mem::replace(&mut self.of(destination).mtu, mtu) {
            0 => MtuChange::First,
            was if was == mtu => MtuChange::None,
            _ => MtuChange::Changed,
        }
    }

    /// The longest datagram that one packet carries; `None` where that is not known.
    pub(crate) fn max_datagram_size(&self, destination: &SocketAddr) -> Option<usize> {
        self.by_destination.get(destination)?.max_datagram_size(destination)
    }

    /// Leaves GSO out for a while. Returns for how long.
    pub(crate) fn pause_gso(&mut self, destination: &SocketAddr, now_ns: u64) -> u64 {
        let way = self.of(destination);
        way.gso_pause_ns = (way.gso_pause_ns * 2).clamp(GSO_PAUSE_NS.0, GSO_PAUSE_NS.1);
        way.gso_off_until_ns = now_ns + way.gso_pause_ns;
        way.gso_pause_ns
    }

    /// Leaves a source out for a while.
    pub(crate) fn lose_source(
        &mut self,
        destination: &SocketAddr,
        source: Option<Source>,
        now_ns: u64,
    ) {
        let way = self.of(destination);
        way.lost_source = source;
        way.lost_source_until_ns = now_ns + SOURCE_LEFT_OUT_NS;
    }

    /// Datagrams did not get out. Says whether that is outbound_commands.
    pub(crate) fn fail(&mut self, destination: &SocketAddr, count: usize, now_ns: u64) -> bool {
        let way = self.of(destination);
        let was_on = way.failure_log.is_on();
        let is_news = way.failure_log.fail(count as u64, now_ns);
        self.outages += usize::from(!was_on);
        is_news
    }

    /// Whether there is any destination that nothing got out to.
    pub(crate) fn has_outages(&self) -> bool {
        self.outages != 0
    }

    /// Datagrams got out. How many had not, where that is outbound_commands.
    pub(crate) fn succeed(&mut self, destination: &SocketAddr) -> Option<u64> {
        let way = self.by_destination.get_mut(destination).filter(|way| way.failure_log.is_on())?;
        self.outages -= 1;
        way.failure_log.end()
    }

    fn of(&mut self, destination: &SocketAddr) -> &mut Destination {
        if self.by_destination.len() >= DESTINATIONS
            && !self.by_destination.contains_key(destination)
        {
            self.forget();
        }
        self.by_destination.entry(*destination).or_default()
    }
}

/// What became of a route's MTU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MtuChange {
    None,
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

    fn there() -> SocketAddr {
        "192.0.2.1:9".parse().unwrap()
    }

    #[test]
    fn batches_are_as_long_as_the_route_carries() {
        let mut destinations = DestinationCache::default();
        assert!(destinations.send_options(&there(), 1).takes_batches_of(60_000));
        assert_eq!(destinations.set_mtu(&there(), 1500), MtuChange::First);
        assert_eq!(destinations.max_datagram_size(&there()), Some(1472));
        assert!(destinations.send_options(&there(), 1).takes_batches_of(1472));
        assert_eq!(destinations.set_mtu(&there(), 1340), MtuChange::Changed);
        assert_eq!(destinations.set_mtu(&there(), 1340), MtuChange::None);
        let send_options = destinations.send_options(&there(), 1);
        assert!(send_options.takes_batches_of(1312) && !send_options.takes_batches_of(1313));
        let v6 = "[2001:db8::1]:9".parse().unwrap();
        destinations.set_mtu(&v6, 1340);
        assert_eq!(destinations.max_datagram_size(&v6), Some(1292));
    }

    #[test]
    fn the_mtu_is_asked_for_once_a_second() {
        let mut destinations = DestinationCache::default();
        let mut asked = 0;
        for tenth in 0..50 {
            if destinations.is_due(&there(), tenth * SECOND_NS / 10 + 1) {
                destinations.set_mtu(&there(), 1500);
                asked += 1;
            }
        }
        assert_eq!(asked, 5);
    }

    #[test]
    fn gso_that_was_refused_pauses_for_longer_each_time() {
        let mut destinations = DestinationCache::default();
        assert_eq!(destinations.pause_gso(&there(), 0), 60 * SECOND_NS);
        assert!(!destinations.send_options(&there(), 59 * SECOND_NS).takes_batches_of(1));
        assert!(destinations.send_options(&there(), 60 * SECOND_NS).takes_batches_of(1));
        let pauses: Vec<_> =
            (0..7).map(|_| destinations.pause_gso(&there(), 0) / SECOND_NS).collect();
        assert_eq!(pauses, [120, 240, 480, 960, 1920, 3600, 3600]);
    }

    #[test]
    fn an_outage_of_one_destination_is_not_over_with_the_success_of_another() {
        let mut destinations = DestinationCache::default();
        let other = "192.0.2.2:9".parse().unwrap();
        assert!(destinations.fail(&there(), 3, SECOND_NS));
        assert!(!destinations.fail(&there(), 4, 2 * SECOND_NS));
        assert_eq!(destinations.succeed(&other), None);
        assert!(destinations.has_outages());
        assert_eq!(destinations.succeed(&there()), Some(7));
        assert!(!destinations.has_outages());
    }
}
