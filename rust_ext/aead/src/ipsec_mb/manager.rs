//! A manager of IPsec-MB: the queue that takes jobs, one for each thread.
//!
//! In: a loaded library of a known layout; then jobs. Out: the jobs, completed, oldest first.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::fmt;
use std::ptr::NonNull;

use super::layout::{FEATURE_SELF_TEST, FEATURE_SELF_TEST_PASS, Job, JobFunction, Manager};
use super::library::IpsecMbLibrary;

/// A manager that is set up for this processor.
pub(super) struct JobQueue {
    get_next_job: JobFunction,
    submit_job: JobFunction,
    flush_job: JobFunction,
    manager: Allocation,
}

// SAFETY: the manager is a plain allocation that only this object points to, and running a job takes
// `&mut self`, so one thread at a time uses it. The library keeps nothing by thread: it imports no
// thread functions and has no thread-local storage. All that it writes outside of managers is the
// number of the last error, and, while one is allocated or set up, what CPUID says (always the same
// words); both are read here only to decide on a set-up. One manager a thread is the use that the
// library documents.
unsafe impl Send for JobQueue {}

impl JobQueue {
    /// Allocates a manager and sets it up, or says why not.
    pub(super) fn new(library: IpsecMbLibrary) -> Result<Self, String> {
        library.judge()?;
        let manager = Allocation::new(library)?;
        manager.set_up()?;
        // SAFETY: allocated and set up; no job runs, so nothing writes to it meanwhile.
        let head = unsafe { manager.address.as_ref() };
        if head.features & FEATURE_SELF_TEST != 0 && head.features & FEATURE_SELF_TEST_PASS == 0 {
            return Err("the library's own self-test failed".into());
        }
        let (Some(get_next_job), Some(submit_job), Some(flush_job)) =
            (head.get_next_job, head.submit_job_nocheck, head.flush_job)
        else {
            return Err("init_mb_mgr_auto left the manager without functions".into());
        };
        Ok(Self { get_next_job, submit_job, flush_job, manager })
    }

    /// The version of the library, such as `1.3.0`.
    pub(super) fn version(&self) -> &str {
        &self.manager.library.version
    }

    /// Queues a job; gives the oldest one if it is done, which in 1.3 is this very one.
    ///
    /// Job by job, because bursts measured alike: within 10 ns a job at 0 to 1420 B.
    ///
    /// # Safety
    /// All that `job` points to is valid for its lengths and untouched by others until the job
    /// came back from here or from [`flush`](Self::flush), and fewer than 256 jobs are queued.
    pub(super) unsafe fn submit(&mut self, job: Job) -> Option<&Job> {
        let manager = self.manager.address.as_ptr();
        // SAFETY: the manager is set up. With a place free in its queue it gives a job of its own
        // to fill, which is submitted before the next is asked for; the caller vouches for the
        // rest. `nocheck`: the arguments are constants and checked ranges, and to check them again
        // costs 20 ns a job.
        unsafe {
            (self.get_next_job)(manager).write(job);
            (self.submit_job)(manager).as_ref()
        }
    }

    /// Completes and gives the oldest job that has not come back, or `None` if all have.
    pub(super) fn flush(&mut self) -> Option<&Job> {
        // SAFETY: the manager is set up; whoever queued a job vouched for what it points to.
        unsafe { (self.flush_job)(self.manager.address.as_ptr()).as_ref() }
    }
}

impl fmt::Debug for JobQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobQueue").field("version", &self.version()).finish_non_exhaustive()
    }
}

/// The memory of a manager, given back to the library it came from.
struct Allocation {
    address: NonNull<Manager>,
    free: unsafe extern "C" fn(*mut Manager),
    /// Dropped after `Drop::drop` has run, so that `free` is still loaded when it is called.
    library: IpsecMbLibrary,
}

impl Allocation {
    fn new(library: IpsecMbLibrary) -> Result<Self, String> {
        // SAFETY: the signatures of `alloc_mb_mgr` and `free_mb_mgr` in every verified header; they
        // are called while the library is held beside them.
        let (allocate, free) = unsafe {
            let allocate: unsafe extern "C" fn(u64) -> *mut Manager =
                library.function(c"alloc_mb_mgr")?;
            (allocate, library.function(c"free_mb_mgr")?)
        };
        // SAFETY: no flags; null where memory is refused.
        match NonNull::new(unsafe { allocate(0) }) {
            Some(address) => Ok(Self { address, free, library }),
            None => Err(format!(
                "alloc_mb_mgr: {}",
                last_error(&library, std::ptr::null_mut())?.unwrap_or_default()
            )),
        }
    }

    fn set_up(&self) -> Result<(), String> {
        // SAFETY: the signature in every verified header, called while the library is held.
        let set_up: unsafe extern "C" fn(*mut Manager, *mut c_void) =
            unsafe { self.library.function(c"init_mb_mgr_auto")? };
        // SAFETY: allocated, not used yet; a null architecture means "do not tell me".
        unsafe { set_up(self.address.as_ptr(), std::ptr::null_mut()) };
        match last_error(&self.library, self.address.as_ptr())? {
            Some(reason) => Err(format!("init_mb_mgr_auto: {reason}")),
            None => Ok(()),
        }
    }
}

impl Drop for Allocation {
    fn drop(&mut self) {
        // SAFETY: allocated by this library, which is still loaded, and freed once.
        unsafe { (self.free)(self.address.as_ptr()) }
    }
}

/// The error of a manager, or of the library as a whole where `manager` is null, in its words.
fn last_error(library: &IpsecMbLibrary, manager: *mut Manager) -> Result<Option<String>, String> {
    // SAFETY: the signatures in every verified header, called while the library is held.
    let (errno, describe) = unsafe {
        let errno: unsafe extern "C" fn(*mut Manager) -> c_int =
            library.function(c"imb_get_errno")?;
        let describe: unsafe extern "C" fn(c_int) -> *const c_char =
            library.function(c"imb_get_strerror")?;
        (errno, describe)
    };
    // SAFETY: null or an allocated manager; only reads.
    let number = unsafe { errno(manager) };
    if number == 0 {
        return Ok(None);
    }
    // SAFETY: a constant string for every number, also for unknown ones.
    let reason = unsafe { CStr::from_ptr(describe(number)) };
    Ok(Some(reason.to_string_lossy().into_owned()))
}
