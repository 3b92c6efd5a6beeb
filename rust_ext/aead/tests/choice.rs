//! The choice of a cipher by name.

use pyfw_aead::{Error, available, open};

fn error_of(choice: &str) -> Error {
    open(choice).err().unwrap_or_else(|| panic!("{choice:?} was accepted"))
}

#[test]
fn ring_is_always_available() {
    assert_eq!(open("ring").unwrap().name(), "ring");
    assert!(available().iter().any(|cipher| cipher.name == "ring" && cipher.usable.is_ok()));
}

#[test]
fn error_lists_the_known_ciphers() {
    for choice in ["", "Ring", "aes", "libIPSec_MB.so.1"] {
        let error = error_of(choice);
        assert_eq!(error, Error::Unknown { choice: choice.into() });
        assert_eq!(
            error.to_string(),
            format!("unknown cipher {choice:?}; known: auto, ipsec-mb, ring")
        );
    }
}

#[test]
fn auto_opens_the_first_usable_cipher() {
    let first = available().into_iter().find(|cipher| cipher.usable.is_ok()).unwrap();
    assert_eq!(open("auto").unwrap().name(), first.name);
}

#[test]
fn ipsec_mb_opens_or_gives_the_reason() {
    let ipsec_mb = available().into_iter().find(|cipher| cipher.name == "ipsec-mb").unwrap();
    match ipsec_mb.usable {
        Ok(()) => {
            let version = ipsec_mb.version.unwrap();
            assert!(version == "1.3.0" || version.starts_with("2.0."), "{version}");
            assert_eq!(open("ipsec-mb").unwrap().name(), "ipsec-mb");
        }
        Err(reason) => {
            eprintln!("ipsec-mb is not usable here: {reason}");
            assert_eq!(error_of("ipsec-mb"), Error::Unusable { name: "ipsec-mb", reason });
        }
    }
}
