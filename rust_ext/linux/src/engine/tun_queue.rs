//! How long the TUN's queue may be, so that what waits there waits no longer than was asked for.
//!
//! In: how many frames a busy drain took, and how long. Out: a length in frames, at most once a second
//! and only where it differs by a quarter from the one said last; the kernel's own again after a second
//! without a busy drain, so that a burst finds room. Drops: what finds none, by the kernel (tx_dropped).
//! Order: none is changed. There is no CoDel below a TUN: its queue is a plain ring.

/// Between two lengths.
const PERIOD_NS: u64 = 1_000_000_000;
/// A drain of fewer frames found no queue: what it took says nothing of what could be taken.
pub(crate) const BUSY_FRAMES: usize = 4;
/// As the kernel has it (TUN_READQ_SIZE in drivers/net/tun.c).
const LONGEST: u64 = 500;
/// Below this the window of one flow does not fit: of 64 KiB frames, 8 cost it 8 % of its speed.
const SHORTEST: u64 = 16;

/// The frames of busy drains, and the time they took.
#[derive(Debug)]
pub(crate) struct TunQueue {
    /// How long what is in the queue may wait; 0: the length is the kernel's.
    target_ns: u64,
    frames: u64,
    busy_ns: u64,
    /// When this second began; 0 before the first busy drain.
    since_ns: u64,
    /// The length in force, where it is not the kernel's.
    said: Option<u64>,
}

impl TunQueue {
    pub(crate) fn new(target_ns: u64) -> Self {
        Self { target_ns, frames: 0, busy_ns: 0, since_ns: 0, said: None }
    }

    /// Whether anything is asked of it.
    pub(crate) fn is_kept_short(&self) -> bool {
        self.target_ns != 0
    }

    /// Notes a drain of at least [`BUSY_FRAMES`].
    pub(crate) fn drained(&mut self, frames: usize, from_ns: u64, to_ns: u64) {
        self.frames += frames as u64;
        self.busy_ns += to_ns.saturating_sub(from_ns);
        if self.since_ns == 0 {
            self.since_ns = from_ns;
        }
    }

    /// When [`Self::judge`] has something to say.
    pub(crate) fn due_ns(&self) -> Option<u64> {
        (self.since_ns != 0).then_some(self.since_ns + PERIOD_NS)
    }

    /// The length from now on, where it is another one.
    pub(crate) fn judge(&mut self, now_ns: u64) -> Option<u64> {
        if self.due_ns().is_none_or(|due_ns| due_ns > now_ns) {
            return None;
        }
        let (frames, busy_ns) = (self.frames, self.busy_ns);
        (self.frames, self.busy_ns, self.since_ns) = (0, 0, now_ns);
        if frames == 0 {
            self.since_ns = 0;
            return self.said.take().map(|_| LONGEST);
        }
        let length = (frames * self.target_ns / busy_ns.max(1)).clamp(SHORTEST, LONGEST);
        let before = self.said.unwrap_or(LONGEST);
        if length.abs_diff(before) * 4 <= before {
            return None;
        }
        self.said = Some(length);
        Some(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND_NS: u64 = 1_000_000_000;

    /// Lengths said of drains that come one after the other, each of so many frames.
    fn lengths(
        queue: &mut TunQueue,
        from_s: u64,
        to_s: u64,
        frames: usize,
        each_ns: u64,
    ) -> Vec<u64> {
        let step_ns = frames as u64 * each_ns;
        (from_s * SECOND_NS..to_s * SECOND_NS)
            .step_by(step_ns as usize)
            .filter_map(|at| {
                let said = queue.judge(at);
                queue.drained(frames, at, at + step_ns);
                said
            })
            .collect()
    }

    #[test]
    fn the_queue_holds_a_millisecond_of_what_is_taken() {
        // 50 µs a frame, as of 64 KiB at 10 Gbit/s; then 5 µs, as of small packets.
        let mut queue = TunQueue::new(1_000_000);
        assert_eq!(lengths(&mut queue, 1, 4, 8, 50_000), [20]);
        assert_eq!(lengths(&mut queue, 4, 8, 128, 5_000), [200]);
    }

    #[test]
    fn a_rate_that_hardly_changes_is_not_said_again() {
        let mut queue = TunQueue::new(1_000_000);
        assert_eq!(lengths(&mut queue, 1, 3, 8, 20_000), [50]);
        assert_eq!(lengths(&mut queue, 3, 9, 8, 18_000), []);
    }

    #[test]
    fn a_quiet_second_gives_the_kernels_length_back() {
        let mut queue = TunQueue::new(1_000_000);
        lengths(&mut queue, 1, 3, 8, 50_000);
        // What was taken in the second that was running is judged, then one without a busy drain.
        let mut said = Vec::new();
        while let Some(due_ns) = queue.due_ns() {
            assert!(due_ns <= 5 * SECOND_NS);
            said.extend(queue.judge(due_ns));
        }
        assert_eq!(said, [LONGEST]);
    }

    #[test]
    fn who_was_never_busy_says_nothing() {
        assert_eq!(TunQueue::new(1_000_000).due_ns(), None);
        assert_eq!(TunQueue::new(1_000_000).judge(u64::MAX), None);
    }

    #[test]
    fn bounds_hold() {
        assert_eq!(lengths(&mut TunQueue::new(1_000_000), 1, 3, 8, 900_000), [SHORTEST]);
        let mut queue = TunQueue::new(1_000_000);
        lengths(&mut queue, 1, 3, 8, 50_000);
        assert_eq!(lengths(&mut queue, 3, 5, 128, 200), [LONGEST]);
    }
}
