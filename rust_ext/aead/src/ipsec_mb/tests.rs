//! IPsec-MB below the batch interface; skipped if it is not installed.

use std::cell::RefCell;

use super::*;
use crate::published_vectors::{self, FORGED, VALID};
use crate::ring::Ring;

fn installed() -> Option<IpsecMb> {
    IpsecMb::new().map_err(|reason| eprintln!("skipped: ipsec-mb: {reason}")).ok()
}

/// Seals or opens one packet with any nonce and associated data, and returns the computed tag.
fn run(
    cipher: &mut IpsecMb,
    direction: Direction,
    key: &[u8; 32],
    nonce: &[u8; NONCE_LENGTH],
    associated: &[u8],
    text: &mut [u8],
) -> [u8; TAG_LENGTH] {
    let key = TransportKey::new(*key);
    let mut tag = [0; TAG_LENGTH];
    let packet = Packet {
        nonce: nonce.as_ptr(),
        text: text.as_mut_ptr(),
        length: text.len(),
        tag: tag.as_mut_ptr(),
    };
    // SAFETY: nonce, text and tag outlive the call and are not used elsewhere.
    let completed = unsafe {
        cipher.backend.run(Chunk { direction, key: &key, associated, packets: &[packet] })
    };
    assert_eq!(completed, 1);
    tag
}

#[test]
fn published_vectors_hold() {
    let Some(cipher) = installed() else { return };
    let cipher = RefCell::new(cipher);
    let counts = published_vectors::check(
        &mut |key, nonce, associated, text| {
            run(&mut cipher.borrow_mut(), Direction::Encrypt, key, nonce, associated, text)
        },
        &mut |key, nonce, associated, text, tag| {
            let direction = Direction::Decrypt;
            run(&mut cipher.borrow_mut(), direction, key, nonce, associated, text) == *tag
        },
    );
    assert_eq!(counts, (VALID, FORGED));
}

#[test]
fn key_and_buffer_need_no_alignment() {
    #[repr(C, align(64))]
    struct Unaligned {
        _pad: u8,
        key: TransportKey,
    }
    let Some(mut cipher) = installed() else { return };
    let unaligned = Unaligned { _pad: 0, key: TransportKey::new([3; 32]) };
    assert_eq!(unaligned.key.as_ptr().align_offset(2), 1);
    for offset in 0..64 {
        let slot = Slot { offset, length: 700, counter: 1 << 40 };
        let mut buffer = vec![offset as u8; 800];
        let mut expected = buffer.clone();
        cipher.seal(&unaligned.key, &mut buffer, &[slot]);
        Ring.seal(&unaligned.key, &mut expected, &[slot]);
        assert!(buffer == expected, "offset {offset}");
    }
}

#[test]
fn queue_is_empty_after_each_call() {
    let Some(mut cipher) = installed() else { return };
    let key = TransportKey::new([4; 32]);
    let slots = [0, 40, 80].map(|offset| Slot { offset, length: 24, counter: 1 });
    let flushed = |cipher: &mut IpsecMb| match &mut cipher.backend {
        Backend::Jobs(queue) => Some(queue.flush().is_none()),
        Backend::Packets(_) => None,
    };
    if flushed(&mut cipher).is_none() {
        eprintln!("skipped: this version has no queue");
        return;
    }
    cipher.seal(&key, &mut [0; 120], &slots);
    assert_eq!(flushed(&mut cipher), Some(true));
    cipher.open(&key, &mut [0; 120], &slots, &mut [true; 3]);
    assert_eq!(flushed(&mut cipher), Some(true));
}

#[test]
fn several_managers_coexist() {
    let mut ciphers = Vec::from_iter((0..4).map_while(|_| installed()));
    let key = TransportKey::new([5; 32]);
    let slot = Slot { offset: 0, length: 100, counter: 9 };
    let mut expected = vec![1; 116];
    Ring.seal(&key, &mut expected, &[slot]);
    while let Some(mut cipher) = ciphers.pop() {
        let mut buffer = vec![1; 116];
        cipher.seal(&key, &mut buffer, &[slot]);
        assert!(buffer == expected, "{} others left", ciphers.len());
    }
}
