//! The handshake against a published vector and against snow, an independent implementation.

use proptest::prelude::*;

use super::*;
use crate::wireguard::noise::tai64n::TIMESTAMP_LENGTH;

const INITIATION: usize = 108;
const RESPONSE: usize = 48;
const PATTERN: &str = "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s";

fn secrets(ours: &Identity, theirs: &Identity, preshared_key: [u8; 32]) -> PeerSecrets {
    PeerSecrets {
        public_key: *theirs.public_key(),
        static_static: ours.agree(theirs.public_key()),
        preshared_key: Zeroizing::new(preshared_key),
    }
}

fn bytes<const N: usize>(hex: &str) -> [u8; N] {
    unhex(hex).try_into().unwrap()
}

fn unhex(hex: &str) -> Vec<u8> {
    hex.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// cacophony's vector for this pattern, with the first two transport messages.
#[test]
fn the_handshake_equals_the_published_vector() {
    let prologue = unhex("4a6f686e2047616c74");
    let psk = bytes("54686973206973206d7920417573747269616e20706572737065637469766521");
    let initiator =
        Identity::new(&bytes("e61ef9919cde45dd5f82166404bd08e38bceb5dfdfded0a34c8df7ed542214d1"));
    let responder =
        Identity::new(&bytes("4a3acbfdb163dec651dfa3194dece676d437029c62a408b4c5ea9114246e4893"));
    assert_eq!(
        *responder.public_key(),
        bytes("31e0303fd6418d2f8c0e78b91f22e8caed0fbe48656dcf4767e4834f701b8f62")
    );
    let init_ephemeral =
        Zeroizing::new(bytes("893e28b9dc6ca8d611ab664754b8ceb7bac5117349a4439a6b0569da977c464a"));
    let resp_ephemeral =
        Zeroizing::new(bytes("bbdb4cdbd309f1a1f2e1456967fe288cadd6f712d65dc7b7793d5e63da6b375b"));
    let payloads = [b"Ludwig von Mises".as_slice(), b"Murray Rothbard".as_slice()];
    let ciphertexts = [
        unhex(
            "ca35def5ae56cec33dc2036731ab14896bc4c75dbb07a61f879f8e3afa4c7944001e21de9f98ddd8e2ad\
             57527207feb56253c9c94a9e496782ecfcb2a75fbcaf1b52948cc48daefe660c62119ab5000980c84831\
             215f2441eba616548e832985464cf17e51ee93109008399a21f7e13f",
        ),
        unhex(
            "95ebc60d2b1fa672c1f46a8aa265ef51bfe38e7ccb39ec5be34069f144808843cb765f2caef0751b8f00\
             7572dab0322217755c0632f365717edbf34d33e87a",
        ),
    ];

    let to_responder = secrets(&initiator, &responder, psk);
    let to_initiator = secrets(&responder, &initiator, psk);
    let mut first = vec![0; ciphertexts[0].len()];
    let pending = Initiator::start_from(
        Symmetric::new(&prologue),
        &initiator,
        &to_responder,
        &init_ephemeral,
        payloads[0],
        &mut first,
    )
    .unwrap();
    assert_eq!(first, ciphertexts[0]);

    let initiation =
        UnverifiedInitiation::open_from(Symmetric::new(&prologue), &responder, &first).unwrap();
    assert_eq!(initiation.public_key(), initiator.public_key());
    let mut opened = [0; 16];
    let verified = initiation.verify(&to_initiator, &mut opened).unwrap();
    assert_eq!(opened, *payloads[0]);

    let mut second = vec![0; ciphertexts[1].len()];
    let theirs =
        verified.write_response(&to_initiator, &resp_ephemeral, payloads[1], &mut second).unwrap();
    assert_eq!(second, ciphertexts[1]);

    let mut opened = [0; 15];
    let ours = pending.read_response(&initiator, &to_responder, &second, &mut opened).unwrap();
    assert_eq!(opened, *payloads[1]);
    let transcript = bytes("f5191b875290abcd41347ac3622d9679688a7e980229cb937ef748336cfde0e5");
    assert_eq!(ours.transcript(), transcript);
    assert_eq!(theirs.transcript(), transcript);

    let messages = [
        (
            ours.split().from_initiator,
            "F. A. Hayek",
            "8153ca9833bc3c1b91a7e66e5f4d4f5b59bf9e64c2f20d15f0bba7",
        ),
        (
            ours.split().from_responder,
            "Carl Menger",
            "07af0c9c86e1b4e80f36b04ff7688d51141af3debd0332f0a705ef",
        ),
    ];
    for (key, text, sealed) in messages {
        assert_eq!(seal_first(&key, text.as_bytes()), unhex(sealed));
    }
}

fn seal_first(key: &TransportKey, text: &[u8]) -> Vec<u8> {
    use chacha20poly1305::{ChaCha20Poly1305, KeyInit, Nonce, aead::Aead};
    ChaCha20Poly1305::new(&(**key).into()).encrypt(&Nonce::default(), text).unwrap()
}

fn snow_end<'b>(private: &'b [u8; 32], psk: &'b [u8; 32]) -> snow::Builder<'b> {
    snow::Builder::new(PATTERN.parse().unwrap())
        .prologue(IDENTIFIER)
        .and_then(|b| b.local_private_key(private))
        .and_then(|b| b.psk(2, psk))
        .unwrap()
}

/// Checks that both ends seal with the same keys in both directions.
fn assert_same_session(ours: &SessionKeys, theirs: &mut snow::StatelessTransportState) {
    let mut sealed = [0; 64];
    let length = theirs.write_message(0, b"from snow", &mut sealed).unwrap();
    assert_eq!(seal_first(&ours.receive, b"from snow"), sealed[..length]);
    let mut opened = [0; 64];
    let length = theirs.read_message(0, &seal_first(&ours.send, b"to snow"), &mut opened).unwrap();
    assert_eq!(opened[..length], *b"to snow");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn snow_answers_our_initiation(
        private: [[u8; 32]; 2], ephemeral: [u8; 32], psk: [u8; 32], timestamp: [u8; TIMESTAMP_LENGTH],
    ) {
        let (ours, theirs) = (Identity::new(&private[0]), Identity::new(&private[1]));
        let peer = secrets(&ours, &theirs, psk);
        let mut snow = snow_end(&private[1], &psk).build_responder().unwrap();
        let mut message = [0; INITIATION];
        let pending =
            Initiator::start(&ours, &peer, &Zeroizing::new(ephemeral), &timestamp, &mut message).unwrap();
        let mut payload = [0; 64];
        let length = snow.read_message(&message, &mut payload).unwrap();
        prop_assert_eq!(&payload[..length], &timestamp);
        prop_assert_eq!(snow.get_remote_static().unwrap(), ours.public_key());
        let mut response = [0; RESPONSE];
        prop_assert_eq!(snow.write_message(&[], &mut response).unwrap(), RESPONSE);
        let keys = pending.finish(&ours, &peer, &response, &mut []).unwrap();
        assert_same_session(&keys, &mut snow.into_stateless_transport_mode().unwrap());
    }

    #[test]
    fn we_answer_snows_initiation(
        private: [[u8; 32]; 2], ephemeral: [u8; 32], psk: [u8; 32], timestamp: [u8; TIMESTAMP_LENGTH],
    ) {
        let (ours, theirs) = (Identity::new(&private[0]), Identity::new(&private[1]));
        let peer = secrets(&ours, &theirs, psk);
        let mut snow = snow_end(&private[1], &psk)
            .remote_public_key(ours.public_key())
            .and_then(|b| b.build_initiator())
            .unwrap();
        let mut message = [0; INITIATION];
        prop_assert_eq!(snow.write_message(&timestamp, &mut message).unwrap(), INITIATION);
        let initiation = UnverifiedInitiation::open(&ours, &message).unwrap();
        prop_assert_eq!(initiation.public_key(), theirs.public_key());
        let mut opened = [0; TIMESTAMP_LENGTH];
        let verified = initiation.verify(&peer, &mut opened).unwrap();
        prop_assert_eq!(opened, timestamp);
        let mut response = [0; RESPONSE];
        let keys =
            verified.finish(&peer, &Zeroizing::new(ephemeral), &[], &mut response).unwrap();
        snow.read_message(&response, &mut [0; 64]).unwrap();
        assert_same_session(&keys, &mut snow.into_stateless_transport_mode().unwrap());
    }
}

#[test]
fn public_keys_that_give_zero_are_refused() {
    let identity = Identity::new(&[7; 32]);
    let mut one = [0; 32];
    one[0] = 1;
    // RFC 7748 §6.1 and the table of cr.yp.to/ecdh.html: points of small order.
    let order_8 = bytes("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800");
    for point in [[0; 32], one, order_8] {
        assert!(identity.agree(&point).is_none());
        let mut message = [0; INITIATION];
        message[..32].copy_from_slice(&point);
        assert!(UnverifiedInitiation::open(&identity, &message).is_none());
    }
}

#[test]
fn private_keys_are_clamped() {
    let identity = Identity::new(&[0xff; 32]);
    let mut clamped = [0xff; 32];
    (clamped[0], clamped[31]) = (0xf8, 0x7f);
    assert_eq!(*identity.private_key(), clamped);
    assert_eq!(identity.public_key(), Identity::new(&clamped).public_key());
}
