//! Logs a repeated failure once when it starts and once when it ends.

use pyfw_core::time::SECOND_NS;

/// A failure that starts again this soon after a logged start is counted, not logged.
const QUIET_NS: u64 = 10 * SECOND_NS;

/// The state of one kind of failure.
#[derive(Debug, Default)]
pub(crate) struct FailureLog {
    /// Failures since the start.
    failures: u64,
    /// The start is logged, and the end is not.
    is_logged: bool,
    quiet_until_ns: u64,
}

impl FailureLog {
    /// Counts failures. Returns whether to log the start.
    pub(crate) fn fail(&mut self, count: u64, now_ns: u64) -> bool {
        self.failures += count;
        let is_start = !self.is_logged && now_ns >= self.quiet_until_ns;
        if is_start {
            (self.is_logged, self.quiet_until_ns) = (true, now_ns + QUIET_NS);
        }
        is_start
    }

    /// Whether there were failures since the last success.
    pub(crate) fn is_failing(&self) -> bool {
        self.failures != 0
    }

    /// Notes a success. Returns the number of failures before it if the end is to be logged.
    pub(crate) fn recover(&mut self) -> Option<u64> {
        let failures = std::mem::take(&mut self.failures);
        std::mem::take(&mut self.is_logged).then_some(failures)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_logged_at_its_start_and_its_end() {
        let mut failure_log = FailureLog::default();
        assert!(failure_log.fail(3, SECOND_NS));
        for second in 1..100 {
            assert!(!failure_log.fail(2, second * SECOND_NS), "it continues");
        }
        assert!(failure_log.is_failing());
        assert_eq!(failure_log.recover(), Some(3 + 99 * 2));
        assert_eq!((failure_log.is_failing(), failure_log.recover()), (false, None));
    }

    #[test]
    fn a_flapping_failure_is_logged_every_ten_seconds() {
        let mut failure_log = FailureLog::default();
        let mut lines = 0;
        for tenth in 0..600 {
            lines += u32::from(failure_log.fail(1, tenth * SECOND_NS / 10));
            lines += u32::from(failure_log.recover().is_some());
        }
        assert_eq!(lines, 2 * 6);
    }
}
