//! CoDel (RFC 8289): how long packets waited before us decides which of them are told to slow down.
//!
//! In: how long each packet waited in the socket, in order of arrival. Out: whether this one carries
//! the signal: marked where it is ECN-capable, else dropped. Order is untouched: who is dropped is at
//! the head. Time: a queue that was never shorter than the target for an interval is a standing one;
//! then signals come faster by the square root of their number, until it is gone.

use crate::time::MILLISECOND_NS;

/// A queue this long is worth its delay: what a burst of one drain takes. RFC 8289 has 5 ms for links
/// of the internet; what waits here waits for a processor.
pub const TARGET_NS: u64 = MILLISECOND_NS;
/// A round trip's time for those who have to slow down (RFC 8289 §4.2).
pub const INTERVAL_NS: u64 = 100 * MILLISECOND_NS;

/// The state of one queue.
#[derive(Debug, Default)]
pub struct Codel {
    /// When the wait will have been above the target for an interval; 0: it is not above.
    first_above_ns: u64,
    /// When the next signal is due, while signalling.
    next_ns: u64,
    /// The drain of the packet before.
    drain_ns: u64,
    count: u32,
    last_count: u32,
    signalling: bool,
}

impl Codel {
    /// Whether a packet that waited so long is to carry the signal. Called for each packet in turn.
    pub fn signals(&mut self, waited_ns: u64, now_ns: u64) -> bool {
        if now_ns != self.drain_ns {
            // Who came after the last drain found the queue empty, however long it waited since.
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
        // Soon after the last time: go on where that had got to (RFC 8289 §5.4).
        let more = self.count - self.last_count;
        let recently = now_ns.saturating_sub(self.next_ns) < 16 * INTERVAL_NS;
        self.count = if more > 1 && recently { more } else { 1 };
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

/// The control law (RFC 8289 §3.3).
fn after(at_ns: u64, count: u32) -> u64 {
    at_ns + (INTERVAL_NS as f64 / f64::from(count).sqrt()) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: u64 = MILLISECOND_NS;

    /// The times at which a packet a millisecond is signalled, each having waited as `waited` says.
    fn signals(codel: &mut Codel, times_ms: std::ops::Range<u64>, waited_ns: u64) -> Vec<u64> {
        times_ms.filter(|at| codel.signals(waited_ns, at * MS)).collect()
    }

    #[test]
    fn a_queue_below_the_target_is_left_alone() {
        assert_eq!(signals(&mut Codel::default(), 1..10_000, TARGET_NS - 1), []);
    }

    #[test]
    fn a_burst_shorter_than_an_interval_is_left_alone() {
        let mut codel = Codel::default();
        for start in [1, 1000, 2000] {
            assert_eq!(signals(&mut codel, start..start + 100, 50 * MS), []);
            assert!(!codel.signals(0, (start + 100) * MS));
        }
    }

    #[test]
    fn a_standing_queue_is_signalled_ever_faster() {
        // 100 ms to be sure; then 100, 100/√2, 100/√3 and 100/√4 ms between signals.
        let found = signals(&mut Codel::default(), 0..480, 5 * MS);
        assert_eq!(found, [100, 200, 271, 329, 379, 424, 464]);
    }

    #[test]
    fn signals_end_when_the_queue_is_gone_and_go_on_when_it_soon_comes_back() {
        let mut codel = Codel::default();
        assert_eq!(signals(&mut codel, 0..480, 5 * MS).len(), 7);
        assert!(!codel.signals(0, 480 * MS));
        let again = signals(&mut codel, 481..700, 5 * MS);
        assert_eq!(again[..2], [581, 581 + 41]);
    }

    #[test]
    fn a_packet_that_finds_the_queue_empty_is_left_alone_however_long_it_waited() {
        let mut codel = Codel::default();
        for at in [100, 300, 500, 700] {
            assert!(!codel.signals(50 * MS, at * MS));
        }
    }

    proptest! {
        #[test]
        fn no_wait_and_no_clock_make_it_fail(waits in prop::collection::vec(any::<(u32, u32)>(), 0..99)) {
            let (mut codel, mut now_ns) = (Codel::default(), 0);
            for (waited_ns, passed_ns) in waits {
                now_ns += u64::from(passed_ns);
                codel.signals(u64::from(waited_ns), now_ns);
            }
        }
    }
}
