//! A manager of IPsec-MB: what the library knows of the processor, one for each thread.
//!
//! In: a loaded library of a verified version. Out: its manager, set up, or the reason why not.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::fmt;
use std::ptr::{NonNull, null_mut};

use super::layout::{self, Head};
use super::library::{Interface, IpsecMbLibrary};

/// A manager that is set up for this processor, and its library.
pub(super) struct Manager {
    address: NonNull<Head>,
    free: unsafe extern "C" fn(*mut Head),
    /// Dropped after `Drop::drop` has run, so that `free` is still loaded when it is called.
    library: IpsecMbLibrary,
}

// SAFETY: the manager is a plain allocation that only this object points to, and whoever uses it has
// this object by `&mut`, so one thread at a time does. The library keeps nothing by thread: it imports
// no thread functions and has no thread-local storage. All that it writes outside of managers is the
// number of the last error, and, while one is allocated or set up, what CPUID says (always the same
// words); both are read here only to decide on a set-up. One manager a thread is the use that the
// library documents.
unsafe impl Send for Manager {}

impl Manager {
    /// Allocates a manager and sets it up, or says why not.
    pub(super) fn new(library: IpsecMbLibrary, interface: Interface) -> Result<Self, String> {
        // SAFETY: the signatures in every verified header; the functions are called while the library
        // is held beside them.
        let (allocate, free) = unsafe {
            let allocate: unsafe extern "C" fn(u64) -> *mut Head =
                library.function(c"alloc_mb_mgr")?;
            (allocate, library.function(c"free_mb_mgr")?)
        };
        // SAFETY: no flags; null where memory is refused.
        let Some(address) = NonNull::new(unsafe { allocate(0) }) else {
            // SAFETY: the signature in every verified header, called while the library is held.
            let errno: unsafe extern "C" fn(*mut Head) -> c_int =
                unsafe { library.function(c"imb_get_errno")? };
            // SAFETY: null asks for the library's own last error.
            let number = unsafe { errno(null_mut()) };
            return Err(format!("alloc_mb_mgr: {}", describe(&library, number)?));
        };
        let manager = Self { address, free, library };
        manager.set_up()?;
        let (has_self_test, passed) = layout::self_test(interface);
        let features = manager.head().features;
        if features & has_self_test != 0 && features & passed == 0 {
            return Err("the library's own self-test failed".into());
        }
        Ok(manager)
    }

    fn set_up(&self) -> Result<(), String> {
        // SAFETY: the signature in every verified header, called while the library is held.
        let set_up: unsafe extern "C" fn(*mut Head, *mut c_void) =
            unsafe { self.library.function(c"init_mb_mgr_auto")? };
        // SAFETY: allocated, not used yet; a null architecture means "do not tell me".
        unsafe { set_up(self.address.as_ptr(), null_mut()) };
        match self.head().imb_errno {
            0 => Ok(()),
            number => Err(format!("init_mb_mgr_auto: {}", describe(&self.library, number)?)),
        }
    }

    /// What the library calls it by.
    pub(super) fn as_ptr(&mut self) -> *mut Head {
        self.address.as_ptr()
    }

    /// Its head, as far as it is known for the version.
    pub(super) fn head(&self) -> &Head {
        // SAFETY: allocated, zeroed or set up; while this is borrowed the library does not write to it.
        unsafe { self.address.as_ref() }
    }

    /// The library it came from.
    pub(super) fn library(&self) -> &IpsecMbLibrary {
        &self.library
    }
}

impl fmt::Debug for Manager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Manager").field("version", &self.library.version).finish_non_exhaustive()
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        // SAFETY: allocated by this library, which is still loaded, and freed once.
        unsafe { (self.free)(self.address.as_ptr()) }
    }
}

/// An error in the library's words.
fn describe(library: &IpsecMbLibrary, number: c_int) -> Result<String, String> {
    // SAFETY: the signature in every verified header, called while the library is held.
    let describe: unsafe extern "C" fn(c_int) -> *const c_char =
        unsafe { library.function(c"imb_get_strerror")? };
    // SAFETY: a constant string for every number, also for unknown ones.
    let reason = unsafe { CStr::from_ptr(describe(number)) };
    Ok(reason.to_string_lossy().into_owned())
}
