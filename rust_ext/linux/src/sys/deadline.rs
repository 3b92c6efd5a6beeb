//! A timer that a thread can wait for beside its descriptors, suspend included.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
};

const SECOND_NS: u64 = 1_000_000_000;

/// A timerfd on CLOCK_BOOTTIME: after a laptop's sleep it fires at once, as ages demand.
pub struct DeadlineTimer {
    fd: OwnedFd,
}

impl DeadlineTimer {
    /// A timer that is not set.
    ///
    /// # Errors
    /// The kernel's.
    pub fn new() -> io::Result<Self> {
        let flags = libc::TFD_NONBLOCK | libc::TFD_CLOEXEC;
        // SAFETY: the call takes no pointers.
        let fd = unsafe { libc::timerfd_create(libc::CLOCK_BOOTTIME, flags) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel just made the descriptor, and nobody else has it.
        Ok(Self { fd: unsafe { OwnedFd::from_raw_fd(fd) } })
    }

    /// Fires at this boot time (at once where it has passed), or never.
    ///
    /// # Errors
    /// The kernel's.
    pub fn set(&self, at_ns: Option<u64>) -> io::Result<()> {
        // Zero would disarm: a time long past fires at once.
        let at_ns = at_ns.map_or(0, |at| at.max(1));
        let value = libc::timespec {
            tv_sec: (at_ns / SECOND_NS) as libc::time_t,
            tv_nsec: (at_ns % SECOND_NS) as libc::c_long,
        };
        let interval = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        let setting = libc::itimerspec { it_interval: interval, it_value: value };
        // SAFETY: `setting` outlives the call; the old value is not asked for.
        let result = unsafe {
            libc::timerfd_settime(
                self.fd.as_raw_fd(),
                libc::TFD_TIMER_ABSTIME,
                &raw const setting,
                std::ptr::null_mut(),
            )
        };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Makes the descriptor unreadable again after it fired.
    pub fn clear(&self) {
        let mut fired = [0u8; 8];
        // SAFETY: the buffer is as long as said. EAGAIN (it did not fire) is as good.
        let _ = unsafe { libc::read(self.fd.as_raw_fd(), fired.as_mut_ptr().cast(), fired.len()) };
    }
}

impl AsFd for DeadlineTimer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
