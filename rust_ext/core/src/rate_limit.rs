//! A rate limit per source: 20 a second, 5 at once.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr},
};

use crate::time::SECOND_NS;

/// Events a second and source (kernel ratelimiter.c, PACKETS_PER_SECOND).
const PER_SECOND: u64 = 20;
/// Events that may come at once (kernel ratelimiter.c, PACKETS_BURSTABLE).
const BURST: u64 = 5;
/// Sources in the table, about 1 MiB. New sources are refused while it is full: a handshake that is refused for
/// that retries after 5 s. The kernel allows 65,536 sources on a machine of 1 GiB (ratelimiter.c, max_entries).
const CAPACITY: usize = 16_384;

const COST_NS: u64 = SECOND_NS / PER_SECOND;
const FULL_NS: u64 = COST_NS * BURST;
/// A source that was quiet for this long has its whole burst again, so its bucket is removed.
const EXPIRE_AFTER_NS: u64 = SECOND_NS;

/// Token buckets by source: an IPv4 address, or the /64 of an IPv6 address, which belongs to one customer.
#[derive(Debug, Default)]
pub struct RateLimit {
    buckets: BTreeMap<IpAddr, Bucket>,
    swept_ns: u64,
}

#[derive(Debug)]
struct Bucket {
    tokens_ns: u64,
    seen_ns: u64,
}

impl RateLimit {
    /// Returns whether one more event of `source` is within its rate, and counts it.
    pub fn allow(&mut self, source: IpAddr, now_ns: u64) -> bool {
        self.sweep(now_ns);
        let source = subnet(source);
        if let Some(bucket) = self.buckets.get_mut(&source) {
            return bucket.take(now_ns);
        }
        if self.buckets.len() >= CAPACITY {
            return false;
        }
        let bucket = Bucket { tokens_ns: FULL_NS - COST_NS, seen_ns: now_ns };
        self.buckets.insert(source, bucket);
        true
    }

    /// Removes quiet sources, at most once a second.
    fn sweep(&mut self, now_ns: u64) {
        if now_ns.saturating_sub(self.swept_ns) >= EXPIRE_AFTER_NS {
            self.swept_ns = now_ns;
            self.buckets.retain(|_, b| now_ns.saturating_sub(b.seen_ns) < EXPIRE_AFTER_NS);
        }
    }
}

impl Bucket {
    fn take(&mut self, now_ns: u64) -> bool {
        let gained_ns = now_ns.saturating_sub(self.seen_ns);
        self.seen_ns = self.seen_ns.max(now_ns);
        self.tokens_ns = self.tokens_ns.saturating_add(gained_ns).min(FULL_NS);
        let enough = self.tokens_ns >= COST_NS;
        if enough {
            self.tokens_ns -= COST_NS;
        }
        enough
    }
}

fn subnet(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64))),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::MILLISECOND_NS;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn allowed(limit: &mut RateLimit, source: &str, now_ns: u64) -> bool {
        limit.allow(ip(source), now_ns)
    }

    /// The sequence of the kernel's selftest/ratelimiter.c and wireguard-go's ratelimiter_test.go.
    #[test]
    fn five_at_once_then_one_in_50_ms() {
        let wait_and_allowed = [
            (0, true),
            (0, true),
            (0, true),
            (0, true),
            (0, true),
            (0, false),
            (50, true),
            (0, false),
            (100, true),
            (0, true),
            (0, false),
            (500, true),
        ];
        for source in ["127.0.0.1", "192.168.1.1", "2001:db8::1"] {
            let mut limit = RateLimit::default();
            let mut now_ns = SECOND_NS;
            for (step, (wait_ms, expected)) in wait_and_allowed.into_iter().enumerate() {
                now_ns += wait_ms * MILLISECOND_NS;
                assert_eq!(allowed(&mut limit, source, now_ns), expected, "{source}: step {step}");
            }
        }
    }

    #[test]
    fn an_ipv6_64_is_one_source_an_ipv4_address_another() {
        let mut limit = RateLimit::default();
        for host in 0..5 {
            assert!(allowed(&mut limit, &format!("2001:db8::{host}"), 1));
        }
        assert!(!allowed(&mut limit, "2001:db8::5", 1));
        assert!(allowed(&mut limit, "2001:db8:0:1::5", 1));
        for host in 0..6 {
            assert!(allowed(&mut limit, &format!("192.0.2.{host}"), 1));
        }
    }

    #[test]
    fn the_table_is_bounded_and_expires_after_a_second() {
        let mut limit = RateLimit::default();
        let source = |i: usize| IpAddr::from(u32::try_from(i).unwrap().to_be_bytes());
        for i in 0..CAPACITY {
            assert!(limit.allow(source(i), SECOND_NS));
        }
        assert!(!limit.allow(source(CAPACITY), SECOND_NS));
        assert!(limit.allow(source(7), SECOND_NS), "known sources are still served");
        assert!(limit.allow(source(CAPACITY), 2 * SECOND_NS));
        assert_eq!(limit.buckets.len(), 1);
    }
}
