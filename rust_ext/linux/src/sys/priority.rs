//! How much of a busy processor a thread gets before others.
//!
//! In: a nice value. Out: the calling thread has it. Order: none of ours; but who moves packets before
//! those who make and take them run finds shorter queues.

use std::io;

/// Gives the calling thread a nice value, -20 (first) to 19: on Linux it belongs to a thread, not to its
/// process (setpriority(2)).
///
/// # Errors
/// Where it is lower than what the thread has, and the process lacks CAP_SYS_NICE.
pub fn set_thread_nice(nice: i32) -> io::Result<()> {
    // SAFETY: takes numbers only; 0 is the calling thread.
    match unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the calling thread has.
    fn nice() -> i32 {
        // SAFETY: takes numbers only.
        unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) }
    }

    #[test]
    fn a_nice_value_is_one_threads_own() {
        let before = nice();
        let inside = std::thread::spawn(move || {
            // Upwards is allowed to all.
            set_thread_nice(before + 1).unwrap();
            nice()
        });
        assert_eq!(inside.join().unwrap(), before + 1);
        assert_eq!(nice(), before);
    }
}
