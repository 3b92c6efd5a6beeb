//! The sessions of a peer and their rotation, as in the kernel's noise.c (add_new_keypair, received_with_keypair).
//!
//! A responder sends with a session only after a message has arrived under it, and until then continues with the
//! current one.

use std::collections::VecDeque;

use crate::wireguard::noise::timers::REKEY_AFTER_TIME_NS;

/// Local indices of sessions to erase; at most three.
pub(super) type Erased = VecDeque<u32>;

/// The sessions of one peer.
#[derive(Default)]
pub(super) struct Sessions {
    /// The session that we send with.
    current: Option<Session>,
    /// The session that was current before; messages may still arrive under it.
    previous: Option<u32>,
    /// The session that we responded to, until the initiator proves that it has the keys.
    next: Option<Session>,
}

struct Session {
    local_index: u32,
    created_ns: u64,
}

impl Sessions {
    /// Adds a session that we initiated, as the current one.
    pub(super) fn initiated(&mut self, local_index: u32, created_ns: u64) -> Erased {
        let mut erased = Erased::from_iter(self.previous.take());
        let current = self.current.replace(Session { local_index, created_ns });
        let current = current.map(|current| current.local_index);
        match self.next.take() {
            // The peer may already send with the session that we responded to: keep it instead of the current one.
            Some(next) => {
                erased.extend(current);
                self.previous = Some(next.local_index);
            }
            None => self.previous = current,
        }
        erased
    }

    /// Adds a session that we responded to; it waits for its first message.
    pub(super) fn responded(&mut self, local_index: u32, created_ns: u64) -> Erased {
        let mut erased = Erased::from_iter(self.previous.take());
        let next = self.next.replace(Session { local_index, created_ns });
        erased.extend(next.map(|next| next.local_index));
        erased
    }

    /// A message has arrived under a session: if that is the next one, it becomes current.
    pub(super) fn confirmed(&mut self, local_index: u32) -> Option<Erased> {
        let next = self.next.take_if(|next| next.local_index == local_index)?;
        let erased = Erased::from_iter(self.previous.take());
        self.previous = self.current.replace(next).map(|current| current.local_index);
        Some(erased)
    }

    /// Our identity has changed: ends sending, but messages under way are still received.
    pub(super) fn expire(&mut self) -> Erased {
        let mut erased = Erased::from_iter(self.next.take().map(|next| next.local_index));
        if let Some(current) = self.current.take() {
            erased.extend(self.previous.replace(current.local_index));
        }
        erased
    }

    /// Removes all sessions.
    pub(super) fn clear(&mut self) -> Erased {
        let current = self.current.take().map(|current| current.local_index);
        let next = self.next.take().map(|next| next.local_index);
        [self.previous.take(), current, next].into_iter().flatten().collect()
    }

    /// Whether a new session is due.
    pub(super) fn are_due(&self, now_ns: u64) -> bool {
        let age_ns = self.current.as_ref().map(|c| now_ns.saturating_sub(c.created_ns));
        age_ns.is_none_or(|age_ns| age_ns >= REKEY_AFTER_TIME_NS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_initiators_session_becomes_previous_after_current() {
        let mut sessions = Sessions::default();
        assert_eq!(sessions.initiated(1, 0), []);
        assert_eq!(sessions.initiated(2, 0), []);
        assert_eq!(sessions.initiated(3, 0), [1]);
        assert_eq!(sessions.clear(), [2, 3]);
    }

    #[test]
    fn a_responders_session_waits_until_it_is_confirmed() {
        let mut sessions = Sessions::default();
        sessions.initiated(1, 0);
        assert_eq!(sessions.responded(2, 0), []);
        assert!(sessions.confirmed(1).is_none());
        assert_eq!(sessions.confirmed(2), Some(Erased::new()));
        assert!(sessions.confirmed(2).is_none(), "only once");
        assert_eq!(sessions.clear(), [1, 2]);
    }

    #[test]
    fn an_unconfirmed_session_is_replaced_by_the_next() {
        let mut sessions = Sessions::default();
        sessions.initiated(1, 0);
        sessions.initiated(2, 0);
        assert_eq!(sessions.responded(3, 0), [1]);
        assert_eq!(sessions.responded(4, 0), [3]);
        assert_eq!(sessions.clear(), [2, 4]);
    }

    #[test]
    fn both_sessions_receive_after_crossed_initiations() {
        let mut sessions = Sessions::default();
        sessions.initiated(1, 0);
        sessions.responded(2, 0);
        assert_eq!(sessions.initiated(3, 0), [1]);
        assert_eq!(sessions.clear(), [2, 3]);
    }

    #[test]
    fn only_the_current_session_receives_after_expire() {
        let mut sessions = Sessions::default();
        sessions.initiated(1, 0);
        sessions.initiated(2, 0);
        sessions.next = Some(Session { local_index: 3, created_ns: 0 });
        assert_eq!(sessions.expire(), [3, 1]);
        assert!(sessions.are_due(0));
        assert_eq!(sessions.clear(), [2]);
    }
}
