//! counts: a stage's counters, and the names that it chose for drop reasons and counters of its own.

use std::{borrow::Cow, collections::BTreeMap};

use super::reason::Reason;

/// Drop reasons, and counters, that one stage may name.
const NAMES_MAX: usize = 64;

/// A snapshot of a stage's counters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StageCounts {
    /// Calls of `process`.
    pub calls: u64,
    /// Failed calls of `process` and `tick`.
    pub failures: u64,
    /// Frames that the stage was shown.
    pub frames: u64,
    /// Their segments.
    pub segments: u64,
    /// Segments that it created.
    pub created: u64,
    /// Time spent in its calls, in nanoseconds.
    pub time_ns: u64,
    /// Longest call, in nanoseconds.
    pub longest_ns: u64,
    /// Frames that it holds.
    pub held_frames: u64,
    /// Their segments.
    pub held_segments: u64,
    /// Their bytes.
    pub held_bytes: u64,
    /// Segments dropped, by reason.
    pub drops: BTreeMap<String, u64>,
    /// Counters of its own.
    pub own: BTreeMap<String, u64>,
}

/// What one call adds to the counters.
#[derive(Clone, Copy, Debug, Default)]
pub struct CallCounts {
    /// Frames that the stage was shown.
    pub frames: u64,
    /// Their segments.
    pub segments: u64,
    /// Segments created.
    pub created: u64,
    /// How long the call took, in nanoseconds.
    pub time_ns: u64,
    /// Whether it failed.
    pub failed: bool,
}

/// The counters themselves.
#[derive(Debug, Default)]
pub(super) struct Counters {
    /// Drop reasons that the stage named.
    reasons: Vec<String>,
    /// Segments dropped, by the reason's number.
    drops: Vec<u64>,
    /// The rest; `drops` and `held_*` are filled in by [`Self::snapshot`] and its caller.
    counts: StageCounts,
}

impl Counters {
    /// Returns the number of a reason, new or known. `None` if the name is invalid or the stage has too many.
    pub(super) fn reason(&mut self, name: &str) -> Option<Reason> {
        if let Some(number) = Reason::BUILT_IN.iter().position(|&known| known == name) {
            return Some(Reason(number as u8));
        }
        let index = match self.reasons.iter().position(|known| known == name) {
            Some(index) => index,
            None if self.reasons.len() < NAMES_MAX && is_name(name) => {
                self.reasons.push(name.to_owned());
                self.reasons.len() - 1
            }
            None => return None,
        };
        Some(Reason((Reason::BUILT_IN.len() + index) as u8))
    }

    /// Adds to a counter of the stage's own. False if the name is invalid or the stage has too many.
    pub(super) fn add(&mut self, name: &str, amount: u64) -> bool {
        let own = &mut self.counts.own;
        if let Some(count) = own.get_mut(name) {
            *count = count.saturating_add(amount);
            return true;
        }
        let fits = own.len() < NAMES_MAX && is_name(name);
        if fits {
            own.insert(name.to_owned(), amount);
        }
        fits
    }

    pub(super) fn add_drop(&mut self, reason: Reason, segments: u64) {
        let number = usize::from(reason.0);
        if self.drops.len() <= number {
            self.drops.resize(number + 1, 0);
        }
        self.drops[number] += segments;
    }

    pub(super) fn add_call(&mut self, call: CallCounts, dropped: &[(Reason, u64)]) {
        let counts = &mut self.counts;
        counts.calls += u64::from(call.frames != 0);
        counts.failures += u64::from(call.failed);
        counts.frames += call.frames;
        counts.segments += call.segments;
        counts.created += call.created;
        counts.time_ns += call.time_ns;
        counts.longest_ns = counts.longest_ns.max(call.time_ns);
        for &(reason, segments) in dropped {
            self.add_drop(reason, segments);
        }
    }

    pub(super) fn snapshot(&self) -> StageCounts {
        let mut counts = self.counts.clone();
        for (number, &count) in self.drops.iter().enumerate().filter(|(_, count)| **count != 0) {
            counts.drops.insert(self.name(Reason(number as u8)).into_owned(), count);
        }
        counts
    }

    fn name(&self, reason: Reason) -> Cow<'_, str> {
        let number = usize::from(reason.0);
        match Reason::BUILT_IN.get(number) {
            Some(&name) => name.into(),
            None => self.reasons[number - Reason::BUILT_IN.len()].as_str().into(),
        }
    }
}

/// Whether a name fits the other counters: 1 to 64 letters, digits and "_".
fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bounded_in_number_and_form() {
        let mut counters = Counters::default();
        assert_eq!(counters.reason("raised"), Some(Reason::RAISED));
        assert_eq!((counters.reason(""), counters.reason("a b")), (None, None));
        for number in 0..NAMES_MAX {
            assert!(counters.reason(&format!("r{number}")).is_some());
            assert!(counters.add(&format!("c{number}"), 1));
        }
        assert_eq!((counters.reason("more"), counters.add("more", 1)), (None, false));
        assert_eq!(counters.reason("r0"), counters.reason("r0"));
    }
}
