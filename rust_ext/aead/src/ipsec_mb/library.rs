//! Loads IPsec-MB and checks its version.

use std::ffi::CStr;

use libloading::os::unix::{Library, Symbol};

/// The names under which distributions install it, the faster one first (Debian 13 and 12).
pub(super) const SONAMES: &[&str] = &["libIPSec_MB.so.2", "libIPSec_MB.so.1"];

/// The interface of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Interface {
    /// A job per packet, by functions inside the manager: its layout is the interface.
    Jobs,
    /// Many packets per call, by an exported function.
    Packets,
}

/// The versions, as `imb_get_version` returns them, whose headers were checked. The versions between 1.3 and
/// 2.0 were not available: 1.4 has no call for many packets of this cipher, and the call changed before 2.0.
const VERIFIED: &[(u32, Interface)] = &[
    (0x01_03_00, Interface::Jobs),
    (0x02_00_00, Interface::Packets),
    // The headers of 2.0.0 and 2.0.2 differ in the version only, so that of 2.0.1 is the same.
    (0x02_00_01, Interface::Packets),
    (0x02_00_02, Interface::Packets),
];

/// The loaded shared object.
#[derive(Debug)]
pub(super) struct IpsecMbLibrary {
    library: Library,
    /// Such as `1.3.0`.
    pub(super) version: String,
    number: u32,
}

impl IpsecMbLibrary {
    /// Loads the first of `sonames` that is installed in a verified version. If there is none, loads the
    /// first that is installed, for an error that names its version, or returns the loader's errors.
    pub(super) fn load(sonames: &[&str]) -> Result<Self, String> {
        let (mut errors, mut unverified) = (Vec::new(), None);
        for soname in sonames {
            // SAFETY: loading runs the object's constructors. It is the vendor's library under its registered
            // name, from the directories of the system's loader.
            let library = unsafe { Library::new(soname) }.map_err(|error| error.to_string());
            match library.and_then(Self::identify) {
                Ok(found) if found.interface().is_ok() => return Ok(found),
                Ok(found) => unverified = unverified.or(Some(found)),
                Err(reason) => errors.push(reason),
            }
        }
        unverified.ok_or_else(|| errors.join("; "))
    }

    fn identify(library: Library) -> Result<Self, String> {
        // SAFETY: `unsigned imb_get_version(void)` in every release since 0.50.
        let get_version: unsafe extern "C" fn() -> u32 =
            unsafe { symbol(&library, c"imb_get_version")? };
        // SAFETY: takes nothing, returns a constant; the object is loaded.
        let number = unsafe { get_version() };
        Ok(Self { library, version: dotted(number), number })
    }

    /// Returns a function of the library.
    ///
    /// # Safety
    /// `T` is the type of the function `name`, and it is not called after this object is dropped.
    pub(super) unsafe fn function<T: Copy>(&self, name: &CStr) -> Result<T, String> {
        // SAFETY: as the caller's.
        unsafe { symbol(&self.library, name) }
    }

    /// Returns the interface of this version, or why it cannot be used.
    pub(super) fn interface(&self) -> Result<Interface, String> {
        interface_of(self.number)
    }
}

fn interface_of(number: u32) -> Result<Interface, String> {
    let found = VERIFIED.iter().find(|(verified, _)| *verified == number);
    found.map(|(_, interface)| *interface).ok_or_else(|| {
        let known: Vec<String> = VERIFIED.iter().map(|(verified, _)| dotted(*verified)).collect();
        format!(
            "the interface of version {} was not verified (verified: {})",
            dotted(number),
            known.join(", ")
        )
    })
}

/// Formats `IMB_VERSION(major, minor, patch)`: a byte each.
fn dotted(number: u32) -> String {
    format!("{}.{}.{}", number >> 16, number >> 8 & 0xff, number & 0xff)
}

/// # Safety
/// `T` is the type of the function `name`.
unsafe fn symbol<T: Copy>(library: &Library, name: &CStr) -> Result<T, String> {
    // SAFETY: as the caller's.
    let symbol: Symbol<T> =
        unsafe { library.get(name.to_bytes_with_nul()) }.map_err(|error| error.to_string())?;
    Ok(*symbol)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_names_a_version_that_was_not_verified() {
        for number in [0x01_01_00, 0x01_03_01, 0x01_04_00, 0x01_05_00, 0x02_01_00, 0x03_00_00] {
            let reason = interface_of(number).unwrap_err();
            assert!(
                reason.contains(&dotted(number)) && reason.contains("1.3.0, 2.0.0"),
                "{reason}"
            );
        }
        assert_eq!(interface_of(0x01_03_00), Ok(Interface::Jobs));
        assert_eq!(interface_of(0x02_00_02), Ok(Interface::Packets));
    }

    #[test]
    fn missing_library_gives_the_loaders_errors() {
        let reason =
            IpsecMbLibrary::load(&["libIPSec_MB.so.none", "libother.so.none"]).unwrap_err();
        assert!(reason.contains("libIPSec_MB.so.none: cannot open shared object file"), "{reason}");
        assert!(reason.contains("libother.so.none"), "{reason}");
    }

    #[test]
    fn other_library_under_the_name_is_rejected() {
        let reason = IpsecMbLibrary::load(&["libc.so.6"]).unwrap_err();
        assert!(reason.contains("imb_get_version"), "{reason}");
    }
}
