//! Waiting, waking, clocks and randomness: what a thread asks of the kernel beside its packets.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
};

use pyfw_core::{time::Now, wireguard::device::Entropy};

/// What a descriptor is watched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interest(u32);

impl Interest {
    /// Errors only.
    pub const NONE: Self = Self(0);
    /// Something to read.
    pub const READ: Self = Self(libc::EPOLLIN as u32);
    /// Room to write.
    pub const WRITE: Self = Self(libc::EPOLLOUT as u32);
}

impl std::ops::BitOr for Interest {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// A descriptor that is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ready {
    /// The token it was added with.
    pub token: u64,
    /// Whether there is something to read (or an error to be had by reading).
    pub readable: bool,
    /// Whether there is room to write.
    pub writable: bool,
}

/// A level-triggered set of watched descriptors.
pub struct Epoll {
    fd: OwnedFd,
}

impl AsFd for Epoll {
    /// Readable while something in the set is ready: a set can be watched in another.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Descriptors reported by one wait; a data thread watches five.
const EVENTS: usize = 8;

impl Epoll {
    /// An empty set.
    ///
    /// # Errors
    /// The kernel's.
    pub fn new() -> io::Result<Self> {
        // SAFETY: the call takes no pointers.
        let fd = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: the kernel just made the descriptor, and nobody else has it.
        Ok(Self { fd: unsafe { OwnedFd::from_raw_fd(fd) } })
    }

    /// Watches a descriptor.
    ///
    /// # Errors
    /// The kernel's.
    pub fn add(&self, fd: BorrowedFd<'_>, token: u64, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, token, interest)
    }

    /// Watches it for something else.
    ///
    /// # Errors
    /// The kernel's.
    pub fn modify(&self, fd: BorrowedFd<'_>, token: u64, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, fd, token, interest)
    }

    /// Watches it no more.
    ///
    /// # Errors
    /// The kernel's.
    pub fn remove(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_DEL, fd, 0, Interest::NONE)
    }

    fn control(
        &self,
        operation: libc::c_int,
        fd: BorrowedFd<'_>,
        token: u64,
        interest: Interest,
    ) -> io::Result<()> {
        let mut event = libc::epoll_event { events: interest.0, u64: token };
        // SAFETY: `event` outlives the call.
        check(unsafe {
            libc::epoll_ctl(self.fd.as_raw_fd(), operation, fd.as_raw_fd(), &raw mut event)
        })?;
        Ok(())
    }

    /// Appends what is ready to `ready`; waits for it at most `timeout_ms` (`None`: for ever).
    /// An interrupted wait gives nothing.
    ///
    /// # Errors
    /// The kernel's.
    pub fn wait(&self, timeout_ms: Option<i32>, ready: &mut Vec<Ready>) -> io::Result<()> {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; EVENTS];
        // SAFETY: the kernel writes at most EVENTS entries.
        let count = unsafe {
            libc::epoll_wait(
                self.fd.as_raw_fd(),
                events.as_mut_ptr(),
                EVENTS as libc::c_int,
                timeout_ms.unwrap_or(-1),
            )
        };
        let count = match check(count) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            other => other?,
        };
        let failed = (libc::EPOLLERR | libc::EPOLLHUP) as u32;
        ready.extend(events[..count as usize].iter().map(|&libc::epoll_event { events, u64 }| {
            Ready {
                token: u64,
                readable: events & (Interest::READ.0 | failed) != 0,
                writable: events & Interest::WRITE.0 != 0,
            }
        }));
        Ok(())
    }
}

/// A descriptor that becomes readable when somebody signals.
pub struct EventFd {
    fd: OwnedFd,
}

impl EventFd {
    /// One that is not signalled.
    ///
    /// # Errors
    /// The kernel's.
    pub fn new() -> io::Result<Self> {
        // SAFETY: the call takes no pointers.
        let fd = check(unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) })?;
        // SAFETY: the kernel just made the descriptor, and nobody else has it.
        Ok(Self { fd: unsafe { OwnedFd::from_raw_fd(fd) } })
    }

    /// Makes it readable.
    pub fn signal(&self) {
        let one = 1u64.to_ne_bytes();
        // SAFETY: the buffer is as long as said. A full counter (EAGAIN) is readable already.
        let _ = unsafe { libc::write(self.fd.as_raw_fd(), one.as_ptr().cast(), one.len()) };
    }

    /// Makes it unreadable.
    pub fn clear(&self) {
        let mut count = [0u8; 8];
        // SAFETY: the buffer is as long as said. EAGAIN means that it was clear.
        let _ = unsafe { libc::read(self.fd.as_raw_fd(), count.as_mut_ptr().cast(), count.len()) };
    }
}

impl AsFd for EventFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Boot time, suspend included.
pub fn boottime_ns() -> u64 {
    read_clock(libc::CLOCK_BOOTTIME)
}

/// The wall clock.
pub fn unix_ns() -> u64 {
    read_clock(libc::CLOCK_REALTIME)
}

/// Both clocks.
pub fn now() -> Now {
    Now { boot_ns: boottime_ns(), unix_ns: unix_ns() }
}

fn read_clock(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` outlives the call; both clocks exist since Linux 2.6.39.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Keeps signals from the calling thread: they belong to Python's.
pub fn block_signals_in_thread() {
    // SAFETY: the set is filled before it is used and outlives the call.
    unsafe {
        let mut all = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const all, std::ptr::null_mut());
    }
}

/// The kernel's random numbers.
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&mut self, bytes: &mut [u8]) {
        let mut filled = 0;
        while filled < bytes.len() {
            let rest = &mut bytes[filled..];
            // SAFETY: the kernel writes at most `rest.len()` bytes.
            let n = unsafe { libc::getrandom(rest.as_mut_ptr().cast(), rest.len(), 0) };
            match check(n as libc::c_int) {
                Ok(n) => filled += n as usize,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Keys must not be made of anything less; Linux has had the call since 3.17.
                Err(error) => panic!("getrandom: {error}"),
            }
        }
    }
}

pub(crate) fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_wakes_until_it_is_cleared() {
        let (epoll, event) = (Epoll::new().unwrap(), EventFd::new().unwrap());
        epoll.add(event.as_fd(), 7, Interest::READ).unwrap();
        assert_eq!(ready(&epoll), []);
        event.signal();
        event.signal();
        let expected = Ready { token: 7, readable: true, writable: false };
        assert_eq!(ready(&epoll), [expected]);
        assert_eq!(ready(&epoll), [expected], "level-triggered");
        event.clear();
        assert_eq!(ready(&epoll), []);
        event.clear();
    }

    #[test]
    fn interest_can_be_taken_back_and_given_again() {
        let (epoll, event) = (Epoll::new().unwrap(), EventFd::new().unwrap());
        event.signal();
        epoll.add(event.as_fd(), 1, Interest::NONE).unwrap();
        assert_eq!(ready(&epoll), []);
        epoll.modify(event.as_fd(), 2, Interest::READ | Interest::WRITE).unwrap();
        assert_eq!(ready(&epoll), [Ready { token: 2, readable: true, writable: true }]);
        epoll.remove(event.as_fd()).unwrap();
        assert_eq!(ready(&epoll), []);
    }

    #[test]
    fn a_descriptor_that_hangs_up_is_readable_so_that_the_error_is_read() {
        let (here, there) = std::os::unix::net::UnixStream::pair().unwrap();
        let epoll = Epoll::new().unwrap();
        epoll.add(here.as_fd(), 3, Interest::NONE).unwrap();
        drop(there);
        assert_eq!(ready(&epoll), [Ready { token: 3, readable: true, writable: false }]);
    }

    #[test]
    fn clocks_go_forward_and_the_wall_clock_is_of_this_century() {
        let first = now();
        assert!(first.boot_ns > 0 && boottime_ns() >= first.boot_ns);
        assert!(first.unix_ns > 1_600_000_000 * 1_000_000_000);
    }

    #[test]
    fn random_bytes_fill_the_whole_room() {
        let mut bytes = [0; 4096];
        SystemEntropy.fill(&mut bytes);
        // 32 zero bytes in a row come by chance once in 10^74 runs.
        assert!(bytes.chunks(32).all(|chunk| chunk.iter().any(|&byte| byte != 0)));
        SystemEntropy.fill(&mut []);
    }

    #[test]
    fn signals_are_kept_from_the_thread_that_asks_and_no_other() {
        let blocked = || {
            // SAFETY: the set is written by the first call before the second reads it.
            unsafe {
                let mut set = std::mem::zeroed();
                libc::pthread_sigmask(libc::SIG_BLOCK, std::ptr::null(), &raw mut set);
                libc::sigismember(&raw const set, libc::SIGTERM) == 1
            }
        };
        let inside = std::thread::spawn(move || {
            block_signals_in_thread();
            blocked()
        });
        assert!(inside.join().unwrap());
        assert!(!blocked());
    }

    fn ready(epoll: &Epoll) -> Vec<Ready> {
        let mut ready = Vec::new();
        epoll.wait(Some(0), &mut ready).unwrap();
        ready
    }
}
