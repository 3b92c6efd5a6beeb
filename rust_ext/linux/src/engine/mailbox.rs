//! A queue of items for one thread, which takes all of them at once, and an eventfd that wakes it.
//!
//! Unbounded: callers that post untrusted input must check [`Mailbox::len`] first.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    sync::Mutex,
};

use pyfw_core::sync;

use crate::sys::epoll::EventFd;

pub(crate) struct Mailbox<T> {
    items: Mutex<Vec<T>>,
    wake: EventFd,
}

impl<T> Mailbox<T> {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { items: Mutex::new(Vec::new()), wake: EventFd::new()? })
    }

    /// Appends the items and wakes the reader; does nothing if there are none.
    pub(crate) fn post(&self, items: impl IntoIterator<Item = T>) {
        let mut queue = sync::lock(&self.items);
        let before = queue.len();
        queue.extend(items);
        // If items were queued before, the reader has been woken for them.
        if before == 0 && !queue.is_empty() {
            self.wake.signal();
        }
    }

    /// Swaps all items into `into`, which must be empty; its capacity is reused.
    pub(crate) fn take(&self, into: &mut Vec<T>) {
        debug_assert!(into.is_empty());
        self.wake.clear();
        std::mem::swap(&mut *sync::lock(&self.items), into);
    }

    pub(crate) fn len(&self) -> usize {
        sync::lock(&self.items).len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T> AsFd for Mailbox<T> {
    /// Readable while items are queued.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}
