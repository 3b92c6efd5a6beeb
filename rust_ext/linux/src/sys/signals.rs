//! Signal masks of native threads.

/// Blocks all signals in the calling thread, so that the kernel delivers them to Python's threads.
pub fn block_in_this_thread() {
    // SAFETY: a sigset_t of zeros is valid, `sigfillset` fills it before it is read, and it outlives the
    // calls; a null pointer means that the old mask is not returned.
    unsafe {
        let mut all = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const all, std::ptr::null_mut());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_blocked_in_the_calling_thread_only() {
        let inside = std::thread::spawn(move || {
            block_in_this_thread();
            is_sigterm_blocked()
        });
        assert!(inside.join().unwrap());
        assert!(!is_sigterm_blocked());
    }

    fn is_sigterm_blocked() -> bool {
        // SAFETY: a sigset_t of zeros is valid; the first call writes the mask before the second reads it.
        unsafe {
            let mut mask = std::mem::zeroed();
            libc::pthread_sigmask(libc::SIG_BLOCK, std::ptr::null(), &raw mut mask);
            libc::sigismember(&raw const mask, libc::SIGTERM) == 1
        }
    }
}
