//! CoDel (RFC 8289): decides from the time that packets waited in a queue which of them signal congestion.
//!
//! The caller marks a packet that signals with CE if it is ECN-capable, and drops it otherwise. A queue that was
//! not shorter than the target for a whole interval is a standing queue; signals then come at intervals that
//! shrink with the square root of their number, until the queue is gone.

use crate::time::MILLISECOND_NS;

/// The acceptable delay, that of a burst of one drain. RFC 8289 has 5 ms for links of the internet; packets here
/// wait for a processor.
const TARGET_NS: u64 = MILLISECOND_NS;
/// The time of a round trip, in which senders can react (RFC 8289 §4.2).
const INTERVAL_NS: u64 = 100 * MILLISECOND_NS;

/// The state of one queue.
#[derive(Debug, Default)]
pub struct Codel {
    /// When the wait will have been above the target for an interval; 0 if it is not above.
    first_above_ns: u64,
    /// When the next signal is due while signalling.
    next_ns: u64,
    /// The time of the drain of the packet before.
    drain_ns: u64,
    count: u32,
    last_count: u32,
    signalling: bool,
}

impl Codel {
    /// Returns whether a packet that waited this long must signal congestion. Must be called for each packet in
    /// order.
    pub fn signals(&mut self, waited_ns: u64, now_ns: u64) -> bool {
        if now_ns != self.drain_ns {
            // A packet that came after the last drain found the queue empty, however long it waited since.
            if now_ns.saturating_sub(waited_ns) > self.drain_ns {
                self.first_above_ns = 0;
            }
            self.drain_ns = now_ns;
        }
        let stands = self.stands(waited_ns, now_ns);
        if self.signalling {
            if !stands {
                self.signalling = false;
                return false;
            }
            if now_ns < self.next_ns {
                return false;
            }
            self.count = self.count.saturating_add(1);
            self.next_ns = after(self.next_ns, self.count);
            return true;
        }
        if !stands {
            return false;
        }
        self.signalling = true;
        // Soon after the last signals, continue at the rate that those had reached (RFC 8289 §5.4).
        let signalled = self.count - self.last_count;
        let recently = now_ns.saturating_sub(self.next_ns) < 16 * INTERVAL_NS;
        self.count = if signalled > 1 && recently { signalled } else { 1 };
        self.last_count = self.count;
        self.next_ns = after(now_ns, self.count);
        true
    }

    /// Whether the wait has been above the target for an interval.
    fn stands(&mut self, waited_ns: u64, now_ns: u64) -> bool {
        if waited_ns < TARGET_NS {
            self.first_above_ns = 0;
            return false;
        }
        if self.first_above_ns == 0 {
            self.first_above_ns = now_ns + INTERVAL_NS;
            return false;
        }
        now_ns >= self.first_above_ns
    }
}

/// Returns the time of the next signal by the control law (RFC 8289 §3.3).
fn after(at_ns: u64, count: u32) -> u64 {
    at_ns + (INTERVAL_NS as f64 / f64::from(count).sqrt()) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: u64 = MILLISECOND_NS;

    /// The times of the signals among one packet a millisecond, each of which waited `waited_ns`.
    fn signals(codel: &mut Codel, times_ms: std::ops::Range<u64>, waited_ns: u64) -> Vec<u64> {
        times_ms.filter(|at| codel.signals(waited_ns, at * MS)).collect()
    }

    #[test]
    fn a_queue_below_the_target_never_signals() {
        assert_eq!(signals(&mut Codel::default(), 1..10_000, TARGET_NS - 1), []);
    }

    #[test]
    fn a_burst_shorter_than_an_interval_never_signals() {
        let mut codel = Codel::default();
        for start in [1, 1000, 2000] {
            assert_eq!(signals(&mut codel, start..start + 100, 50 * MS), []);
            assert!(!codel.signals(0, (start + 100) * MS));
        }
    }

    #[test]
    fn a_standing_queue_signals_ever_faster() {
        // The first after 100 ms; then 100, 100/√2, 100/√3 and 100/√4 ms between signals.
        let found = signals(&mut Codel::default(), 0..480, 5 * MS);
        assert_eq!(found, [100, 200, 271, 329, 379, 424, 464]);
    }

    #[test]
    fn signals_resume_faster_when_the_queue_soon_returns() {
        let mut codel = Codel::default();
        assert_eq!(signals(&mut codel, 0..480, 5 * MS).len(), 7);
        assert!(!codel.signals(0, 480 * MS));
        let again = signals(&mut codel, 481..700, 5 * MS);
        assert_eq!(again[..2], [581, 581 + 41]);
    }

    #[test]
    fn a_packet_that_found_the_queue_empty_never_signals() {
        let mut codel = Codel::default();
        for at in [100, 300, 500, 700] {
            assert!(!codel.signals(50 * MS, at * MS));
        }
    }

    proptest! {
        #[test]
        fn any_wait_and_any_clock_are_accepted(waits in prop::collection::vec(any::<(u32, u32)>(), 0..99)) {
            let (mut codel, mut now_ns) = (Codel::default(), 0);
            for (waited_ns, passed_ns) in waits {
                now_ns += u64::from(passed_ns);
                codel.signals(u64::from(waited_ns), now_ns);
            }
        }
    }
}
