//! The timers of a peer (whitepaper §6, as implemented by the kernel's timers.c and wireguard-go's timers.go).
//!
//! No timer is armed or disarmed per packet. The paths only record in the peer's `Activity` when they last sent and
//! received; when a timer fires, control works out from that whether it is really due.

use crate::{
    time::{MILLISECOND_NS, SECOND_NS},
    wireguard::peer::Activity,
};

/// A session that has sent this many messages is renewed (whitepaper §6.1, Rekey-After-Messages).
pub const REKEY_AFTER_MESSAGES: u64 = 1 << 60;
/// A session carries no message with this counter or a higher one (whitepaper §6.1,
/// Reject-After-Messages; kernel messages.h: U64_MAX − COUNTER_WINDOW_SIZE − 1 with a window of 8192).
pub const REJECT_AFTER_MESSAGES: u64 = u64::MAX - (1 << 13);
/// The initiator renews a session of this age when it sends (whitepaper §6.1, Rekey-After-Time).
pub const REKEY_AFTER_TIME_NS: u64 = 120 * SECOND_NS;
/// A session of this age is used in neither direction (whitepaper §6.1, Reject-After-Time).
pub const REJECT_AFTER_TIME_NS: u64 = 180 * SECOND_NS;
/// Retries go on for this long (whitepaper §6.1, Rekey-Attempt-Time).
pub const REKEY_ATTEMPT_TIME_NS: u64 = 90 * SECOND_NS;
/// The least time between two initiations to a peer (whitepaper §6.1, Rekey-Timeout).
pub const REKEY_TIMEOUT_NS: u64 = 5 * SECOND_NS;
/// Received data is acknowledged by an empty message if nothing is sent for this time (whitepaper §6.1,
/// Keepalive-Timeout).
pub const KEEPALIVE_TIMEOUT_NS: u64 = 10 * SECOND_NS;
/// The initiator renews a session of this age when it receives, so that a session without outbound data does not
/// expire (whitepaper §6.2: Reject-After-Time − Keepalive-Timeout − Rekey-Timeout).
pub const REKEY_ON_RECEIVE_AFTER_TIME_NS: u64 =
    REJECT_AFTER_TIME_NS - KEEPALIVE_TIMEOUT_NS - REKEY_TIMEOUT_NS;
/// Data that is not answered for this time and a jitter starts a new handshake (whitepaper §6.5).
pub const NEW_HANDSHAKE_AFTER_NS: u64 = KEEPALIVE_TIMEOUT_NS + REKEY_TIMEOUT_NS;
/// All keys are erased if no new ones are derived for this time (whitepaper §6.3: Reject-After-Time × 3).
pub const ERASE_AFTER_NS: u64 = 3 * REJECT_AFTER_TIME_NS;
/// A jitter is below this many milliseconds (kernel messages.h, REKEY_TIMEOUT_JITTER_MAX: a third of
/// a second; wireguard-go constants.go: 334).
pub const JITTER_MS: u64 = 334;
/// Initiations after which a handshake is given up. wireguard-go's MaxTimerHandshakes is the same number, but its
/// comparison allows two more.
pub const MAX_ATTEMPTS: u32 = (REKEY_ATTEMPT_TIME_NS / REKEY_TIMEOUT_NS) as u32;
/// Initiations of a peer that are closer than this are dropped (kernel messages.h, INITIATIONS_PER_SECOND: 50).
pub const INITIATION_INTERVAL_NS: u64 = SECOND_NS / 50;

/// The action that is due at a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Due {
    /// The initiation got no response: send another one, or give up.
    Retry,
    /// A handshake was requested too soon after the last; now it may start.
    Deferred,
    /// Data was not answered: start a handshake.
    NewHandshake,
    /// Data was not acknowledged: send an empty message.
    Keepalive,
    /// The operator's keepalive interval has passed.
    PersistentKeepalive,
    /// Erase all keys.
    Erase,
}

/// The timers of one peer.
#[derive(Clone, Debug, Default)]
pub struct Timers {
    /// When the last initiation or response was sent.
    last_handshake_sent_ns: Option<u64>,
    retry_at_ns: Option<u64>,
    deferred_until_ns: Option<u64>,
    erase_at_ns: Option<u64>,
    /// Initiations sent since the handshake was last requested.
    attempts: u32,
    /// When the current series of initiations began.
    started_ns: Option<u64>,
    new_handshake_jitter_ns: u64,
    persistent_interval_ns: u64,
    persistent_fired_ns: u64,
}

impl Timers {
    /// Returns the next deadline and its action.
    pub fn next(&self, activity: &Activity) -> Option<(u64, Due)> {
        let unanswered = activity.unanswered_since();
        let unacknowledged = activity.unacknowledged_since();
        let persistent = (self.persistent_interval_ns != 0).then(|| {
            let last = activity.last_traversal().unwrap_or(0).max(self.persistent_fired_ns);
            last + self.persistent_interval_ns
        });
        [
            (self.retry_at_ns, Due::Retry),
            (self.deferred_until_ns, Due::Deferred),
            (
                unanswered.map(|t| t + NEW_HANDSHAKE_AFTER_NS + self.new_handshake_jitter_ns),
                Due::NewHandshake,
            ),
            (unacknowledged.map(|t| t + KEEPALIVE_TIMEOUT_NS), Due::Keepalive),
            (persistent, Due::PersistentKeepalive),
            (self.erase_at_ns, Due::Erase),
        ]
        .into_iter()
        .filter_map(|(at, due)| at.map(|at| (at, due)))
        .min()
    }

    /// Clears a timer that has fired.
    pub fn fired(&mut self, due: Due, now_ns: u64, activity: &Activity) {
        match due {
            Due::Retry => self.retry_at_ns = None,
            Due::Deferred => self.deferred_until_ns = None,
            Due::NewHandshake => activity.clear_unanswered(),
            Due::Keepalive => activity.clear_unacknowledged(),
            Due::PersistentKeepalive => self.persistent_fired_ns = now_ns,
            Due::Erase => self.erase_at_ns = None,
        }
    }

    /// A handshake was requested: the attempts until it is given up are counted anew.
    pub fn requested(&mut self) {
        self.attempts = 0;
    }

    /// The earliest time of the next initiation.
    pub fn next_initiation_ns(&self) -> u64 {
        self.last_handshake_sent_ns.map_or(0, |at| at + REKEY_TIMEOUT_NS)
    }

    /// Whether an initiation waits for its response.
    pub fn is_initiating(&self) -> bool {
        self.retry_at_ns.is_some()
    }

    /// Initiations sent since the handshake was last requested.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// When the current series of initiations began.
    pub fn started_ns(&self) -> Option<u64> {
        self.started_ns
    }

    /// Postpones a handshake that was requested too soon.
    pub fn defer(&mut self) {
        self.deferred_until_ns = Some(self.next_initiation_ns());
    }

    /// An initiation was sent.
    pub fn initiated(&mut self, now_ns: u64, jitter_ns: u64) {
        self.last_handshake_sent_ns = Some(now_ns);
        self.deferred_until_ns = None;
        self.retry_at_ns = Some(now_ns + REKEY_TIMEOUT_NS + jitter_ns);
        self.attempts += 1;
        self.started_ns.get_or_insert(now_ns);
    }

    /// Postpones a retry that would come too soon after a response.
    pub fn retry_later(&mut self, jitter_ns: u64) {
        self.retry_at_ns = Some(self.next_initiation_ns() + jitter_ns);
    }

    /// A response was sent.
    pub fn responded(&mut self, now_ns: u64) {
        self.last_handshake_sent_ns = Some(now_ns);
    }

    /// Keys were derived: the time until they are erased starts anew.
    pub fn derived(&mut self, now_ns: u64) {
        self.erase_at_ns = Some(now_ns + ERASE_AFTER_NS);
    }

    /// The handshake is complete at both ends.
    pub fn completed(&mut self, jitter_ns: u64) {
        self.retry_at_ns = None;
        self.deferred_until_ns = None;
        self.attempts = 0;
        self.started_ns = None;
        self.new_handshake_jitter_ns = jitter_ns;
    }

    /// The handshake was given up; existing keys will still be erased.
    pub fn gave_up(&mut self, now_ns: u64) {
        self.retry_at_ns = None;
        self.deferred_until_ns = None;
        self.attempts = 0;
        self.started_ns = None;
        self.erase_at_ns.get_or_insert(now_ns + ERASE_AFTER_NS);
    }

    /// Our identity has changed: the next initiation need not wait.
    pub fn identity_changed(&mut self) {
        self.last_handshake_sent_ns = None;
        self.deferred_until_ns = None;
        self.started_ns = None;
    }

    /// The peer cannot be reached (no key, no endpoint): no handshake is attempted.
    pub fn unreachable(&mut self) {
        self.retry_at_ns = None;
        self.deferred_until_ns = None;
        self.started_ns = None;
    }

    /// Sets the operator's keepalive interval; 0 turns it off.
    pub fn set_persistent_keepalive(&mut self, seconds: u16) {
        self.persistent_interval_ns = u64::from(seconds) * SECOND_NS;
    }

    /// The operator's keepalive interval; 0 if it is off.
    pub fn persistent_keepalive_s(&self) -> u16 {
        // It was set from a u16.
        (self.persistent_interval_ns / SECOND_NS) as u16
    }
}

/// Returns a delay of 0 to 333 ms from 32 random bits.
pub fn jitter_ns(random: u32) -> u64 {
    ((u64::from(random) * JITTER_MS) >> 32) * MILLISECOND_NS
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = SECOND_NS;

    #[test]
    fn an_idle_peer_has_no_deadline() {
        assert_eq!(Timers::default().next(&Activity::default()), None);
    }

    #[test]
    fn jitter_spans_0_to_333_ms() {
        assert_eq!(jitter_ns(0), 0);
        assert_eq!(jitter_ns(u32::MAX), 333 * MILLISECOND_NS);
    }

    #[test]
    fn limits_are_those_of_the_whitepaper() {
        assert_eq!(REJECT_AFTER_MESSAGES, 18_446_744_073_709_543_423);
        assert_eq!(REKEY_ON_RECEIVE_AFTER_TIME_NS, 165 * S);
        assert_eq!(ERASE_AFTER_NS, 540 * S);
        assert_eq!(MAX_ATTEMPTS, 18);
    }

    #[test]
    fn unanswered_data_is_counted_from_the_first() {
        let (activity, mut timers) = (Activity::default(), Timers::default());
        timers.completed(7 * MILLISECOND_NS);
        activity.record_sent(S, 100, true, 0);
        activity.record_sent(4 * S, 100, true, 0);
        let at = 16 * S + 7 * MILLISECOND_NS;
        assert_eq!(timers.next(&activity), Some((at, Due::NewHandshake)));
        timers.fired(Due::NewHandshake, at, &activity);
        assert_eq!(timers.next(&activity), None, "only new data arms it again");
    }

    #[test]
    fn any_answer_stops_the_timer() {
        let activity = Activity::default();
        activity.record_sent(S, 100, true, 0);
        activity.record_received(2 * S, 32, false, 0);
        assert_eq!(Timers::default().next(&activity), None);
    }

    #[test]
    fn data_is_acknowledged_after_10_s_if_nothing_was_sent() {
        let activity = Activity::default();
        activity.record_received(S, 100, true, 0);
        activity.record_received(3 * S, 100, true, 0);
        assert_eq!(Timers::default().next(&activity), Some((11 * S, Due::Keepalive)));
        activity.record_sent(4 * S, 32, false, 0);
        assert_eq!(Timers::default().next(&activity), None);
    }

    #[test]
    fn an_empty_message_is_not_acknowledged() {
        let activity = Activity::default();
        activity.record_received(S, 32, false, 0);
        assert_eq!(Timers::default().next(&activity), None);
    }

    #[test]
    fn persistent_keepalive_counts_from_the_last_message() {
        let (activity, mut timers) = (Activity::default(), Timers::default());
        timers.set_persistent_keepalive(25);
        assert_eq!(timers.persistent_keepalive_s(), 25);
        activity.record_sent(S, 32, false, 0);
        activity.record_received(3 * S, 32, false, 0);
        assert_eq!(timers.next(&activity), Some((28 * S, Due::PersistentKeepalive)));
        timers.fired(Due::PersistentKeepalive, 28 * S, &activity);
        assert_eq!(timers.next(&activity), Some((53 * S, Due::PersistentKeepalive)));
        timers.set_persistent_keepalive(0);
        assert_eq!(timers.next(&activity), None);
    }
}
