//! Waiting for descriptors (epoll) and waking a thread that waits (eventfd).

use std::{
    io,
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::Duration,
};

pub use rustix::event::epoll::EventFlags;
use rustix::{
    event::{
        EventfdFlags, Timespec,
        epoll::{self, CreateFlags, EventData},
        eventfd,
    },
    io::Errno,
};

/// Descriptors that one wait reports at most; a data thread polls seven.
const EVENTS: usize = 8;

/// A level-triggered epoll.
pub struct Epoll {
    fd: OwnedFd,
}

impl Epoll {
    /// Creates an epoll without descriptors.
    ///
    /// # Errors
    /// The kernel's, at its limit of descriptors.
    pub fn new() -> io::Result<Self> {
        Ok(Self { fd: epoll::create(CreateFlags::CLOEXEC)? })
    }

    /// Adds a descriptor. Errors and hang-ups are reported whatever the flags are.
    ///
    /// # Errors
    /// The kernel's: EEXIST if it was added before, EPERM if it cannot be polled.
    pub fn add(&self, fd: BorrowedFd<'_>, token: u64, flags: EventFlags) -> io::Result<()> {
        Ok(epoll::add(&self.fd, fd, EventData::new_u64(token), flags)?)
    }

    /// Changes the token and the flags of a descriptor.
    ///
    /// # Errors
    /// The kernel's: ENOENT if it was not added.
    pub fn modify(&self, fd: BorrowedFd<'_>, token: u64, flags: EventFlags) -> io::Result<()> {
        Ok(epoll::modify(&self.fd, fd, EventData::new_u64(token), flags)?)
    }

    /// Removes a descriptor.
    ///
    /// # Errors
    /// The kernel's: ENOENT if it was not added.
    pub fn remove(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        Ok(epoll::delete(&self.fd, fd)?)
    }

    /// Waits until a descriptor is ready or the timeout (`None`: never) is over, and appends the tokens of
    /// all that are ready. A signal ends the wait early.
    ///
    /// # Errors
    /// The kernel's.
    pub fn wait(&self, timeout: Option<Duration>, ready: &mut Vec<u64>) -> io::Result<()> {
        let timeout = timeout.map(|timeout| Timespec {
            tv_sec: timeout.as_secs() as i64,
            tv_nsec: timeout.subsec_nanos().into(),
        });
        let mut events = [const { MaybeUninit::uninit() }; EVENTS];
        match epoll::wait(&self.fd, &mut events, timeout.as_ref()) {
            Ok((events, _)) => ready.extend(events.iter().map(|event| event.data.u64())),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}

impl AsFd for Epoll {
    /// Readable while one of its descriptors is ready: an epoll can be polled by another.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// A descriptor that any thread can make readable.
pub struct EventFd {
    fd: OwnedFd,
}

impl EventFd {
    /// Creates one that is not readable.
    ///
    /// # Errors
    /// The kernel's, at its limit of descriptors.
    pub fn new() -> io::Result<Self> {
        Ok(Self { fd: eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)? })
    }

    /// Makes it readable.
    pub fn signal(&self) {
        // EAGAIN: the counter is full, so it is readable already.
        let _ = rustix::io::write(&self.fd, &1u64.to_ne_bytes());
    }

    /// Makes it unreadable.
    pub fn clear(&self) {
        // EAGAIN: it was not readable.
        let _ = rustix::io::read(&self.fd, &mut [0; 8]);
    }
}

impl AsFd for EventFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_is_reported_until_it_is_cleared() {
        let (epoll, event) = (Epoll::new().unwrap(), EventFd::new().unwrap());
        epoll.add(event.as_fd(), 7, EventFlags::IN).unwrap();
        assert_eq!(ready(&epoll), []);
        event.signal();
        event.signal();
        assert_eq!(ready(&epoll), [7]);
        assert_eq!(ready(&epoll), [7], "level-triggered");
        event.clear();
        assert_eq!(ready(&epoll), []);
        event.clear();
    }

    #[test]
    fn flags_can_be_changed_and_descriptors_removed() {
        let (epoll, event) = (Epoll::new().unwrap(), EventFd::new().unwrap());
        event.signal();
        epoll.add(event.as_fd(), 1, EventFlags::empty()).unwrap();
        assert_eq!(ready(&epoll), []);
        epoll.modify(event.as_fd(), 2, EventFlags::OUT).unwrap();
        assert_eq!(ready(&epoll), [2]);
        epoll.remove(event.as_fd()).unwrap();
        assert_eq!(ready(&epoll), []);
    }

    #[test]
    fn a_hang_up_is_reported_without_any_flag() {
        let (here, there) = std::os::unix::net::UnixStream::pair().unwrap();
        let epoll = Epoll::new().unwrap();
        epoll.add(here.as_fd(), 3, EventFlags::empty()).unwrap();
        drop(there);
        assert_eq!(ready(&epoll), [3]);
    }

    #[test]
    fn a_timeout_ends_the_wait() {
        let (epoll, mut ready) = (Epoll::new().unwrap(), Vec::new());
        epoll.wait(Some(Duration::from_millis(1)), &mut ready).unwrap();
        assert_eq!(ready, []);
    }

    fn ready(epoll: &Epoll) -> Vec<u64> {
        let mut ready = Vec::new();
        epoll.wait(Some(Duration::ZERO), &mut ready).unwrap();
        ready
    }
}
