//! A timer that a thread polls beside its other descriptors.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use pyfw_core::time::SECOND_NS;
use rustix::{
    event::Timespec,
    time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create,
        timerfd_settime,
    },
};

/// A timerfd on CLOCK_BOOTTIME, which counts suspend: a deadline that passed during it expires at once on
/// resume.
pub struct DeadlineTimer {
    fd: OwnedFd,
}

impl DeadlineTimer {
    /// Creates a timer that is not armed.
    ///
    /// # Errors
    /// The kernel's, at its limit of descriptors.
    pub fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        Ok(Self { fd: timerfd_create(TimerfdClockId::Boottime, flags)? })
    }

    /// Arms the timer for this boot time, or disarms it. A time in the past expires at once.
    ///
    /// # Errors
    /// The kernel's.
    pub fn set(&self, at_ns: Option<u64>) -> io::Result<()> {
        // Zero disarms.
        let at_ns = at_ns.map_or(0, |at| at.max(1));
        let setting = Itimerspec {
            it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
            it_value: Timespec {
                tv_sec: (at_ns / SECOND_NS) as i64,
                tv_nsec: (at_ns % SECOND_NS) as i64,
            },
        };
        timerfd_settime(&self.fd, TimerfdTimerFlags::ABSTIME, &setting)?;
        Ok(())
    }

    /// Makes an expired timer unreadable.
    pub fn clear(&self) {
        // EAGAIN: it has not expired.
        let _ = rustix::io::read(&self.fd, &mut [0; 8]);
    }
}

impl AsFd for DeadlineTimer {
    /// Readable once the timer has expired.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
