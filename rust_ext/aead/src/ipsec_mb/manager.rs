//! A manager of IPsec-MB: the library's state for this processor, one per thread.

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

// SAFETY: the manager is a plain allocation that only this object points to, and every use takes this object
// by `&mut`, so one thread at a time uses it. The library has no state per thread: it imports no thread
// functions and has no thread-local storage. Outside of managers it writes only the last error and, while a
// manager is allocated or set up, the result of CPUID (always the same); both are read here only to decide on
// a set-up. One manager per thread is the use that the library documents.
unsafe impl Send for Manager {}

impl Manager {
    /// Allocates a manager and sets it up, or returns the reason why it cannot.
    pub(super) fn new(library: IpsecMbLibrary, interface: Interface) -> Result<Self, String> {
        // SAFETY: the signatures in every verified header; the functions are called while the library is
        // loaded.
        let (allocate, free) = unsafe {
            let allocate: unsafe extern "C" fn(u64) -> *mut Head =
                library.function(c"alloc_mb_mgr")?;
            (allocate, library.function(c"free_mb_mgr")?)
        };
        // SAFETY: takes flags, and returns null if there is no memory.
        let Some(address) = NonNull::new(unsafe { allocate(0) }) else {
            // SAFETY: the signature in every verified header, called while the library is loaded.
            let errno: unsafe extern "C" fn(*mut Head) -> c_int =
                unsafe { library.function(c"imb_get_errno")? };
            // SAFETY: null requests the library's own last error.
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
        // SAFETY: the signature in every verified header, called while the library is loaded.
        let set_up: unsafe extern "C" fn(*mut Head, *mut c_void) =
            unsafe { self.library.function(c"init_mb_mgr_auto")? };
        // SAFETY: allocated, not used yet; the architecture may be null.
        unsafe { set_up(self.address.as_ptr(), null_mut()) };
        match self.head().imb_errno {
            0 => Ok(()),
            number => Err(format!("init_mb_mgr_auto: {}", describe(&self.library, number)?)),
        }
    }

    /// Returns the pointer that the library takes.
    pub(super) fn as_ptr(&mut self) -> *mut Head {
        self.address.as_ptr()
    }

    /// Returns its head, as far as the layout of the version is known.
    pub(super) fn head(&self) -> &Head {
        // SAFETY: allocated, zeroed or set up; while this is borrowed the library does not write to it.
        unsafe { self.address.as_ref() }
    }

    /// Returns the library that allocated it.
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

/// Returns the library's message for an error.
fn describe(library: &IpsecMbLibrary, number: c_int) -> Result<String, String> {
    // SAFETY: the signature in every verified header, called while the library is loaded.
    let describe: unsafe extern "C" fn(c_int) -> *const c_char =
        unsafe { library.function(c"imb_get_strerror")? };
    // SAFETY: returns a constant string for every number, known or not.
    let reason = unsafe { CStr::from_ptr(describe(number)) };
    Ok(reason.to_string_lossy().into_owned())
}
