//! What fails again and again, and is said seldom: a line when it begins, a line when it is over.
//!
//! In: failures and successes with their time. Out: whether to say something, and how many failed.
//! Time: what begins again within ten seconds of the last line is counted, and not said.

use pyfw_core::time::SECOND_NS;

const QUIET_NS: u64 = 10 * SECOND_NS;

/// One thing that can fail.
#[derive(Debug, Default)]
pub(crate) struct FailureLog {
    /// How many failed since it began.
    failed: u64,
    /// It was said that it began, and not yet that it is over.
    is_said: bool,
    quiet_until_ns: u64,
}

impl FailureLog {
    /// So many failed. Says whether that is outbound_commands.
    pub(crate) fn fail(&mut self, count: u64, now_ns: u64) -> bool {
        self.failed += count;
        let is_news = !self.is_said && now_ns >= self.quiet_until_ns;
        if is_news {
            (self.is_said, self.quiet_until_ns) = (true, now_ns + QUIET_NS);
        }
        is_news
    }

    /// Whether something failed that is not over yet.
    pub(crate) fn is_on(&self) -> bool {
        self.failed != 0
    }

    /// It went well. How many had failed, where that is outbound_commands.
    pub(crate) fn end(&mut self) -> Option<u64> {
        let failed = std::mem::take(&mut self.failed);
        std::mem::take(&mut self.is_said).then_some(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_when_it_begins_and_one_when_it_is_over() {
        let mut failure_log = FailureLog::default();
        assert!(failure_log.fail(3, SECOND_NS));
        for second in 1..100 {
            assert!(!failure_log.fail(2, second * SECOND_NS), "it goes on");
        }
        assert!(failure_log.is_on());
        assert_eq!(failure_log.end(), Some(3 + 99 * 2));
        assert_eq!((failure_log.is_on(), failure_log.end()), (false, None));
    }

    #[test]
    fn what_comes_and_goes_is_said_every_ten_seconds() {
        let mut failure_log = FailureLog::default();
        let mut lines = 0;
        for tenth in 0..600 {
            lines += u32::from(failure_log.fail(1, tenth * SECOND_NS / 10));
            lines += u32::from(failure_log.end().is_some());
        }
        assert_eq!(lines, 2 * 6);
    }
}
