//! The replay window of a session: RFC 6479's sliding bitmap over 8128 counters.
//!
//! `check` is called before a message is opened, `accept` once its tag was found right. A new counter below the
//! highest is late: its message was reordered.

/// Messages with this counter or a higher one are never accepted (whitepaper §6.1; wireguard-go constants.go:
/// 2^64 − 2^13 − 1).
pub use super::timers::REJECT_AFTER_MESSAGES;

const BLOCK_BITS: u64 = u64::BITS as u64;
const BLOCKS: usize = 128;

/// How far behind the highest a counter may be (wireguard-go replay.go: one block of the ring is always partly
/// ahead, so it does not count).
pub const WINDOW: u64 = (BLOCKS as u64 - 1) * BLOCK_BITS;

/// The verdict on an authenticated counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accept {
    /// Higher than all before.
    Fresh,
    /// New, but below the highest: its message was overtaken.
    Late,
    /// Seen before, behind the window, or beyond the limit: the message must be dropped.
    Replayed,
}

/// The counters that a session has seen.
#[derive(Clone, Debug)]
pub struct ReplayWindow {
    /// The highest accepted counter plus one; 0 if there is none.
    next: u64,
    /// A ring of bitmaps: the block of counter c is c / 64 mod 128.
    blocks: [u64; BLOCKS],
}

impl Default for ReplayWindow {
    fn default() -> Self {
        Self { next: 0, blocks: [0; BLOCKS] }
    }
}

impl ReplayWindow {
    /// Whether `counter` may be accepted. Checked before a message is opened, which costs more.
    pub fn check(&self, counter: u64) -> bool {
        if counter >= REJECT_AFTER_MESSAGES {
            return false;
        }
        counter >= self.next
            || (!self.is_behind(counter) && self.blocks[block(counter)] & bit(counter) == 0)
    }

    /// Records the counter of an authenticated message.
    pub fn accept(&mut self, counter: u64) -> Accept {
        if !self.check(counter) {
            return Accept::Replayed;
        }
        let fresh = counter >= self.next;
        if fresh {
            self.advance(counter);
        }
        self.blocks[block(counter)] |= bit(counter);
        if fresh { Accept::Fresh } else { Accept::Late }
    }

    fn is_behind(&self, counter: u64) -> bool {
        self.next - 1 - counter > WINDOW
    }

    /// Makes `counter` the highest and clears the blocks that enter the window.
    fn advance(&mut self, counter: u64) {
        let highest_block = self.next.saturating_sub(1) / BLOCK_BITS;
        let entering = (counter / BLOCK_BITS - highest_block).min(BLOCKS as u64);
        for i in 1..=entering {
            self.blocks[(highest_block + i) as usize % BLOCKS] = 0;
        }
        self.next = counter + 1;
    }
}

fn block(counter: u64) -> usize {
    (counter / BLOCK_BITS) as usize % BLOCKS
}

fn bit(counter: u64) -> u64 {
    1 << (counter % BLOCK_BITS)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const L: u64 = WINDOW + 1;
    const R: u64 = REJECT_AFTER_MESSAGES;

    fn accepts(window: &mut ReplayWindow, counter: u64) -> bool {
        let checked = window.check(counter);
        let accepted = window.accept(counter) != Accept::Replayed;
        assert_eq!(checked, accepted, "check and accept disagree on {counter}");
        accepted
    }

    fn accept_all(counters: impl Iterator<Item = u64>) -> ReplayWindow {
        let mut window = ReplayWindow::default();
        for counter in counters {
            assert!(accepts(&mut window, counter), "{counter}");
        }
        window
    }

    /// The 34 steps of the kernel's selftest/counter.c, which wireguard-go's replay_test.go shares.
    #[test]
    fn the_34_steps_of_the_kernels_test_pass() {
        #[rustfmt::skip]
        let steps = [
            (0, true), (1, true), (1, false), (9, true), (8, true), (7, true), (7, false),
            (L, true), (L - 1, true), (L - 1, false), (L - 2, true), (2, true), (2, false),
            (L + 16, true), (3, false), (L + 16, false), (L * 4, true), (L * 4 - (L - 1), true),
            (10, false), (L * 4 - L, false), (L * 4 - (L + 1), false), (L * 4 - (L - 2), true),
            (L * 4 + 1 - L, false), (0, false), (R, false), (R - 1, true), (R, false),
            (R - 1, false), (R - 2, true), (R + 1, false), (R + 2, false), (R - 2, false),
            (R - 3, true), (0, false),
        ];
        let mut window = ReplayWindow::default();
        for (number, (counter, expected)) in steps.into_iter().enumerate() {
            assert_eq!(accepts(&mut window, counter), expected, "step {}: {counter}", number + 1);
        }
    }

    /// The six bulk runs of the same tests.
    #[test]
    fn the_bulk_runs_of_the_kernels_test_pass() {
        let mut window = accept_all(1..=WINDOW);
        assert!(accepts(&mut window, 0));
        assert!(!accepts(&mut window, 0));

        let mut window = accept_all(2..=WINDOW + 1);
        assert!(accepts(&mut window, 1));
        assert!(!accepts(&mut window, 0));

        accept_all((1..=WINDOW + 1).rev());
        assert!(!accepts(&mut accept_all((2..=WINDOW + 2).rev()), 0));

        let mut window = accept_all((1..=WINDOW).rev());
        assert!(accepts(&mut window, WINDOW + 1));
        assert!(!accepts(&mut window, 0));

        let mut window = accept_all((1..=WINDOW).rev());
        assert!(accepts(&mut window, 0));
        assert!(accepts(&mut window, WINDOW + 1));
    }

    #[test]
    fn the_window_is_8128_counters_wide() {
        assert_eq!(WINDOW, 8128);
        let mut window = accept_all([10_000].into_iter());
        assert!(window.check(10_000 - 8128));
        assert!(!window.check(10_000 - 8129));
        assert_eq!(window.accept(10_000 - 8128), Accept::Late);
    }

    #[test]
    fn only_overtaken_messages_are_late() {
        let mut window = ReplayWindow::default();
        let verdicts = [0, 2, 1, 1, 3].map(|counter| window.accept(counter));
        use Accept::{Fresh, Late, Replayed};
        assert_eq!(verdicts, [Fresh, Fresh, Late, Replayed, Fresh]);
    }

    proptest! {
        #[test]
        fn verdicts_agree_with_a_set_of_all_counters(
            jumps in prop::collection::vec((0u64..20_000, 0u64..10_000), 1..400),
        ) {
            let mut window = ReplayWindow::default();
            let mut seen = BTreeSet::new();
            let mut base = 0u64;
            for (forward, back) in jumps {
                base += forward / 16;
                let counter = base.saturating_sub(back);
                let highest = seen.last().copied();
                let expected = if seen.contains(&counter)
                    || highest.is_some_and(|h: u64| h.saturating_sub(counter) > WINDOW)
                {
                    Accept::Replayed
                } else if highest.is_some_and(|h| counter < h) {
                    Accept::Late
                } else {
                    Accept::Fresh
                };
                prop_assert_eq!(window.accept(counter), expected);
                if expected != Accept::Replayed {
                    seen.insert(counter);
                }
            }
        }
    }
}
