//! A peer's sessions as control knows them, and how they take turns.
//!
//! In: sessions made by us as initiator or responder, and the news that one was confirmed. Out: what
//! to send with, and the indices of sessions that nothing will arrive under any more. The rules are
//! those of the kernel's noise.c (add_new_keypair, received_with_keypair): a responder sends with a
//! session only after something arrived under it; until then it goes on with the current one.

use std::collections::VecDeque;

use crate::wireguard::noise::timers::REKEY_AFTER_TIME_NS;

/// Local indices that are not used any more; at most three.
pub(super) type Erased = VecDeque<u32>;

/// The sessions of one peer.
#[derive(Default)]
pub(super) struct Sessions {
    /// We send with it.
    current: Option<Session>,
    /// What was current before; messages may still arrive under it.
    previous: Option<u32>,
    /// We responded; the initiator has not shown yet that it has the keys.
    next: Option<Session>,
}

struct Session {
    local_index: u32,
    created_ns: u64,
}

impl Sessions {
    /// We initiated, and the response came: this one is current at once.
    pub(super) fn initiated(&mut self, local_index: u32, created_ns: u64) -> Erased {
        let mut erased = Erased::from_iter(self.previous.take());
        let current = self.current.replace(Session { local_index, created_ns });
        let current = current.map(|current| current.local_index);
        match self.next.take() {
            // The peer may have seen our response and send with it, so it outlives the older one.
            Some(next) => {
                erased.extend(current);
                self.previous = Some(next.local_index);
            }
            None => self.previous = current,
        }
        erased
    }

    /// We responded: this one waits for its first message.
    pub(super) fn responded(&mut self, local_index: u32, created_ns: u64) -> Erased {
        let mut erased = Erased::from_iter(self.previous.take());
        let next = self.next.replace(Session { local_index, created_ns });
        erased.extend(next.map(|next| next.local_index));
        erased
    }

    /// Something arrived under a session. Where it was the next one, it is sent with now.
    pub(super) fn confirmed(&mut self, local_index: u32) -> Option<Erased> {
        let next = self.next.take_if(|next| next.local_index == local_index)?;
        let erased = Erased::from_iter(self.previous.take());
        self.previous = self.current.replace(next).map(|current| current.local_index);
        Some(erased)
    }

    /// Our identity changed: nothing more is sent, but what is on its way still arrives.
    pub(super) fn expire(&mut self) -> Erased {
        let mut erased = Erased::from_iter(self.next.take().map(|next| next.local_index));
        if let Some(current) = self.current.take() {
            erased.extend(self.previous.replace(current.local_index));
        }
        erased
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) -> Erased {
        let current = self.current.take().map(|current| current.local_index);
        let next = self.next.take().map(|next| next.local_index);
        [self.previous.take(), current, next].into_iter().flatten().collect()
    }

    /// Whether a new session would be of use.
    pub(super) fn are_due(&self, now_ns: u64) -> bool {
        let age_ns = self.current.as_ref().map(|c| now_ns.saturating_sub(c.created_ns));
        age_ns.is_none_or(|age_ns| age_ns >= REKEY_AFTER_TIME_NS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_initiators_sessions_move_from_current_to_previous() {
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
    fn an_unconfirmed_session_gives_way_to_the_next() {
        let mut sessions = Sessions::default();
        sessions.initiated(1, 0);
        sessions.initiated(2, 0);
        assert_eq!(sessions.responded(3, 0), [1]);
        assert_eq!(sessions.responded(4, 0), [3]);
        assert_eq!(sessions.clear(), [2, 4]);
    }

    #[test]
    fn after_crossed_initiations_both_sessions_receive() {
        let mut sessions = Sessions::default();
        sessions.initiated(1, 0);
        sessions.responded(2, 0);
        assert_eq!(sessions.initiated(3, 0), [1]);
        assert_eq!(sessions.clear(), [2, 3]);
    }

    #[test]
    fn after_a_change_of_identity_only_the_current_one_receives() {
        let mut sessions = Sessions::default();
        sessions.initiated(1, 0);
        sessions.initiated(2, 0);
        sessions.next = Some(Session { local_index: 3, created_ns: 0 });
        assert_eq!(sessions.expire(), [3, 1]);
        assert!(sessions.are_due(0));
        assert_eq!(sessions.clear(), [2]);
    }
}
