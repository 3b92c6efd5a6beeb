//! Wycheproof's vectors for ChaCha20-Poly1305, for the tests of each cipher.
//!
//! None of the 325 has both a nonce of WireGuard's form and no associated data, so none fits the batch
//! interface. The 316 with a 96-bit nonce run one level below it, with their nonces and associated data,
//! through the same calls into the same code.

use wycheproof::TestResult;
use wycheproof::aead::{TestName, TestSet};

/// Vectors to accept, of the 316.
pub(crate) const VALID: usize = 256;
/// Vectors to reject.
pub(crate) const FORGED: usize = 60;

/// Seals in place: key, nonce, associated data, text; returns the tag.
pub(crate) type Seal<'a> = dyn FnMut(&[u8; 32], &[u8; 12], &[u8], &mut [u8]) -> [u8; 16] + 'a;
/// Opens in place: key, nonce, associated data, text, tag; returns whether the tag is right.
pub(crate) type Open<'a> =
    dyn FnMut(&[u8; 32], &[u8; 12], &[u8], &mut [u8], &[u8; 16]) -> bool + 'a;

/// Runs the vectors that fit, and returns how many were valid and how many were forged.
pub(crate) fn check(seal: &mut Seal<'_>, open: &mut Open<'_>) -> (usize, usize) {
    let set = TestSet::load(TestName::ChaCha20Poly1305).unwrap();
    let (mut valid, mut forged) = (0, 0);
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let Ok(nonce) = <[u8; 12]>::try_from(&test.nonce[..]) else { continue };
        let key = <[u8; 32]>::try_from(&test.key[..]).unwrap();
        let tag = <[u8; 16]>::try_from(&test.tag[..]).unwrap();
        let mut text = test.ct.to_vec();
        let opened = open(&key, &nonce, &test.aad, &mut text, &tag);
        match test.result {
            TestResult::Valid => {
                assert!(opened && text == test.pt[..], "vector {} rejected", test.tc_id);
                let sealed_tag = seal(&key, &nonce, &test.aad, &mut text);
                assert!(
                    text == test.ct[..] && sealed_tag == tag,
                    "vector {} sealed to other bytes",
                    test.tc_id
                );
                valid += 1;
            }
            TestResult::Invalid => {
                assert!(!opened, "forged vector {} accepted", test.tc_id);
                forged += 1;
            }
            TestResult::Acceptable => panic!("vector {} is neither", test.tc_id),
        }
    }
    (valid, forged)
}
