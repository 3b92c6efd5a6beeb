//! How many handshakes one source may ask for while we are under load.
//!
//! In: the source of a message that showed a valid cookie, and a time. Out: whether to go on.
//! Drops: what is above the rate, and new sources while the table is full.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr},
};

use crate::time::SECOND_NS;

/// Handshakes a second and source (kernel ratelimiter.c, PACKETS_PER_SECOND).
pub const PER_SECOND: u64 = 20;
/// As many may come at once (kernel ratelimiter.c, PACKETS_BURSTABLE).
pub const BURST: u64 = 5;
/// Sources that are remembered at once, about 1 MiB. The kernel allows 65,536 on a machine of 1 GiB
/// (ratelimiter.c, max_entries); who comes in vain because of it retries after 5 s.
pub const CAPACITY: usize = 16_384;

const COST_NS: u64 = SECOND_NS / PER_SECOND;
const FULL_NS: u64 = COST_NS * BURST;
/// A source that was quiet for so long has its whole burst again and can be forgotten.
const FORGET_AFTER_NS: u64 = SECOND_NS;

/// Token buckets by source: an IPv4 address, or the /64 of an IPv6 one, which is one customer's.
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
    /// Whether one more message from `source` is within its rate.
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

    /// Forgets quiet sources, once a second at most and only while somebody asks.
    fn sweep(&mut self, now_ns: u64) {
        if now_ns.saturating_sub(self.swept_ns) >= FORGET_AFTER_NS {
            self.swept_ns = now_ns;
            self.buckets.retain(|_, b| now_ns.saturating_sub(b.seen_ns) < FORGET_AFTER_NS);
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
    fn a_burst_of_5_then_one_in_50_ms() {
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
    fn an_ipv6_64_is_one_source_and_ipv4_addresses_are_many() {
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
    fn the_table_is_capped_and_forgets_after_a_second() {
        let mut limit = RateLimit::default();
        let source = |i: usize| IpAddr::from(u32::try_from(i).unwrap().to_be_bytes());
        for i in 0..CAPACITY {
            assert!(limit.allow(source(i), SECOND_NS));
        }
        assert!(!limit.allow(source(CAPACITY), SECOND_NS));
        assert!(limit.allow(source(7), SECOND_NS), "a known source keeps its burst");
        assert!(limit.allow(source(CAPACITY), 2 * SECOND_NS));
        assert_eq!(limit.buckets.len(), 1);
    }
}
