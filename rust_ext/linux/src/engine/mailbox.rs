//! A mailbox: what one thread leaves for another, taken all at once.
//!
//! In: items, from any thread. Out: all of them, in the order in which they were posted. Drops:
//! nothing; who posts what strangers send asks for the length first. The lock is held for a swap.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    sync::Mutex,
};

use pyfw_core::sync;

use crate::sys::epoll::EventFd;

/// Items for one thread, and the descriptor that wakes it.
pub(crate) struct Mailbox<T> {
    items: Mutex<Vec<T>>,
    wake: EventFd,
}

impl<T> Mailbox<T> {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { items: Mutex::new(Vec::new()), wake: EventFd::new()? })
    }

    /// Leaves the items and wakes the reader; does nothing where there are none.
    pub(crate) fn post(&self, items: impl IntoIterator<Item = T>) {
        let mut held = sync::lock(&self.items);
        let before = held.len();
        held.extend(items);
        // Where something was waiting, the reader has been woken for it.
        if before == 0 && !held.is_empty() {
            self.wake.signal();
        }
    }

    /// Takes all items into `into`, which is empty and keeps its room.
    pub(crate) fn take(&self, into: &mut Vec<T>) {
        debug_assert!(into.is_empty());
        self.wake.clear();
        std::mem::swap(&mut *sync::lock(&self.items), into);
    }

    /// How many items wait.
    pub(crate) fn waiting(&self) -> usize {
        sync::lock(&self.items).len()
    }
}

impl<T> AsFd for Mailbox<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}
