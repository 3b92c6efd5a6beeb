//! What an operator may write, and what comes of it.

use pyfw_aead::{Error, available, open};

fn refusal(choice: &str) -> Error {
    open(choice).err().unwrap_or_else(|| panic!("{choice:?} was accepted"))
}

#[test]
fn ring_is_always_there() {
    assert_eq!(open("ring").unwrap().name(), "ring");
    assert!(available().iter().any(|cipher| cipher.name == "ring" && cipher.usable.is_ok()));
}

#[test]
fn unknown_choice_is_an_error_that_names_the_known_ones() {
    for choice in ["", "Ring", "aes", "libIPSec_MB.so.1"] {
        let error = refusal(choice);
        assert_eq!(error, Error::Unknown { choice: choice.into() });
        assert_eq!(
            error.to_string(),
            format!("unknown cipher {choice:?}; known: auto, ipsec-mb, ring")
        );
    }
}

#[test]
fn auto_takes_the_first_that_is_usable() {
    let first = available().into_iter().find(|cipher| cipher.usable.is_ok()).unwrap();
    assert_eq!(open("auto").unwrap().name(), first.name);
}

#[test]
fn ipsec_mb_is_opened_or_refused_with_the_reason() {
    let ipsec_mb = available().into_iter().find(|cipher| cipher.name == "ipsec-mb").unwrap();
    match ipsec_mb.usable {
        Ok(()) => {
            let version = ipsec_mb.version.unwrap();
            assert!(version == "1.3.0" || version.starts_with("2.0."), "{version}");
            assert_eq!(open("ipsec-mb").unwrap().name(), "ipsec-mb");
        }
        Err(reason) => {
            eprintln!("ipsec-mb is not usable here: {reason}");
            assert_eq!(refusal("ipsec-mb"), Error::Unusable { name: "ipsec-mb", reason });
        }
    }
}
