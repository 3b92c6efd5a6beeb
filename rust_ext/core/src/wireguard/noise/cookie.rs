//! mac1, mac2 and cookies, which are checked before any key agreement (whitepaper §5.3, §5.4.4, §5.4.7).
//!
//! A cookie is bound to address and port. Our secret is used for 120 s, a cookie that we received for 115 s.

use std::net::{IpAddr, SocketAddr};

use blake2::{
    Blake2sMac,
    digest::{FixedOutput, KeyInit as _, Update, consts::U16},
};
use chacha20poly1305::{AeadInOut, Tag, XChaCha20Poly1305, XNonce};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

use super::{
    message::{Kind, MAC_LENGTH, Message},
    symmetric::hash,
};
use crate::{packet::message_header::COOKIE_LENGTH, time::SECOND_NS};

/// Lifetime of the secret that our cookies are made from (whitepaper §5.4.7: every two minutes).
pub const SECRET_LIFE_NS: u64 = 120 * SECOND_NS;
/// Lifetime of a received cookie, a little shorter than its secret's (kernel messages.h, COOKIE_SECRET_LATENCY: 5 s).
pub const COOKIE_LIFE_NS: u64 = SECRET_LIFE_NS - 5 * SECOND_NS;

/// Labels of the keys derived from a public key (whitepaper §5.4.4, §5.4.7).
const LABEL_MAC1: &[u8] = b"mac1----";
const LABEL_COOKIE: &[u8] = b"cookie--";

/// Nonce and sealed cookie of a cookie reply.
const NONCE: std::ops::Range<usize> = 8..32;
const COOKIE: std::ops::Range<usize> = 32..48;
const COOKIE_TAG: std::ops::Range<usize> = 48..COOKIE_LENGTH;

type Mac = [u8; MAC_LENGTH];

/// The keys that anyone who has the public key can derive.
struct PublicKeys {
    mac1: [u8; 32],
    cookie: [u8; 32],
}

impl PublicKeys {
    fn of(public_key: &[u8; 32]) -> Self {
        Self { mac1: hash(&[LABEL_MAC1, public_key]), cookie: hash(&[LABEL_COOKIE, public_key]) }
    }
}

/// Checks the macs of received messages and makes cookies, for our own public key.
pub struct CookieChecker {
    keys: PublicKeys,
    secret: Zeroizing<[u8; 32]>,
    secret_made_ns: Option<u64>,
}

impl CookieChecker {
    /// Creates a checker of messages to `public_key`.
    pub fn new(public_key: &[u8; 32]) -> Self {
        Self {
            keys: PublicKeys::of(public_key),
            secret: Zeroizing::default(),
            secret_made_ns: None,
        }
    }

    /// Whether mac1 of an initiation or response is right: its sender has our public key.
    pub fn is_mac1_right(&self, message: &[u8]) -> bool {
        let (body, mac1, _) = macs(message);
        mac(&self.keys.mac1, &[body]).ct_eq(mac1).into()
    }

    /// Whether mac2 is right: the sender has received the cookie that we sent to `from`.
    pub fn is_mac2_right(&self, message: &[u8], from: SocketAddr, now_ns: u64) -> bool {
        if !self.has_secret(now_ns) {
            return false;
        }
        let (body, mac1, mac2) = macs(message);
        mac(&self.cookie(from), &[body, mac1]).ct_eq(mac2).into()
    }

    /// Returns the reply with a cookie for `from`, to its `message`. `fill` is the source of randomness.
    pub fn reply(
        &mut self,
        message: &[u8],
        sender: u32,
        from: SocketAddr,
        now_ns: u64,
        fill: &mut dyn FnMut(&mut [u8]),
    ) -> Message {
        if !self.has_secret(now_ns) {
            fill(&mut *self.secret);
            self.secret_made_ns = Some(now_ns);
        }
        let (_, mac1, _) = macs(message);
        let mut reply = Message::new(Kind::CookieReply, &[sender]);
        fill(&mut reply[NONCE]);
        let nonce = nonce(&reply);
        let mut cookie = self.cookie(from);
        let cipher = XChaCha20Poly1305::new(&self.keys.cookie.into());
        // Encryption fails only for texts of 256 GiB.
        if let Ok(tag) = cipher.encrypt_inout_detached(&nonce, mac1, cookie.as_mut_slice().into()) {
            reply[COOKIE].copy_from_slice(&cookie);
            reply[COOKIE_TAG].copy_from_slice(&tag);
        }
        reply
    }

    fn has_secret(&self, now_ns: u64) -> bool {
        self.secret_made_ns.is_some_and(|at| now_ns.saturating_sub(at) <= SECRET_LIFE_NS)
    }

    fn cookie(&self, from: SocketAddr) -> Mac {
        let port = from.port().to_be_bytes();
        match from.ip() {
            IpAddr::V4(v4) => mac(&*self.secret, &[&v4.octets(), &port]),
            IpAddr::V6(v6) => mac(&*self.secret, &[&v6.octets(), &port]),
        }
    }
}

/// Writes the macs of messages to one peer, and stores the peer's cookie.
pub struct CookieJar {
    keys: PublicKeys,
    cookie: Zeroizing<Mac>,
    received_ns: Option<u64>,
    /// mac1 of the last message, until a cookie reply to it arrives.
    last_mac1: Option<Mac>,
}

impl CookieJar {
    /// Creates a jar for messages to `public_key`.
    pub fn new(public_key: &[u8; 32]) -> Self {
        Self {
            keys: PublicKeys::of(public_key),
            cookie: Zeroizing::default(),
            received_ns: None,
            last_mac1: None,
        }
    }

    /// Writes mac1, and mac2 if there is a cookie, at the end of an initiation or response.
    pub fn sign(&mut self, message: &mut [u8], now_ns: u64) {
        let mac1_at = message.len() - 2 * MAC_LENGTH;
        let mac2_at = message.len() - MAC_LENGTH;
        let mac1 = mac(&self.keys.mac1, &[&message[..mac1_at]]);
        message[mac1_at..mac2_at].copy_from_slice(&mac1);
        self.last_mac1 = Some(mac1);
        if self.received_ns.is_some_and(|at| now_ns.saturating_sub(at) <= COOKIE_LIFE_NS) {
            let mac2 = mac(&*self.cookie, &[&message[..mac2_at]]);
            message[mac2_at..].copy_from_slice(&mac2);
        } else {
            self.cookie.zeroize();
            self.received_ns = None;
        }
    }

    /// Stores the cookie of a reply. Returns false if it does not answer our last message.
    pub fn accept(&mut self, reply: &[u8], now_ns: u64) -> bool {
        let Some(last_mac1) = self.last_mac1 else { return false };
        let mut cookie = Mac::default();
        let mut tag = Tag::default();
        cookie.copy_from_slice(&reply[COOKIE]);
        tag.copy_from_slice(&reply[COOKIE_TAG]);
        let cipher = XChaCha20Poly1305::new(&self.keys.cookie.into());
        let opened = cipher.decrypt_inout_detached(
            &nonce(reply),
            &last_mac1,
            cookie.as_mut_slice().into(),
            &tag,
        );
        if opened.is_ok() {
            *self.cookie = cookie;
            self.received_ns = Some(now_ns);
            // One cookie a message: a copy of the reply has no effect (kernel cookie.c, have_sent_mac1).
            self.last_mac1 = None;
        }
        opened.is_ok()
    }
}

fn nonce(reply: &[u8]) -> XNonce {
    let mut nonce = XNonce::default();
    nonce.copy_from_slice(&reply[NONCE]);
    nonce
}

/// Splits an initiation or response into body, mac1 and mac2.
fn macs(message: &[u8]) -> (&[u8], &[u8], &[u8]) {
    let (rest, mac2) = message.split_at(message.len() - MAC_LENGTH);
    let (body, mac1) = rest.split_at(rest.len() - MAC_LENGTH);
    (body, mac1, mac2)
}

/// Keyed BLAKE2s with 16 bytes of output over concatenated parts (whitepaper §5.4, Mac).
fn mac(key: &[u8], parts: &[&[u8]]) -> Mac {
    // Keys have 16 or 32 bytes, which BLAKE2s accepts.
    let Ok(mut state) = Blake2sMac::<U16>::new_from_slice(key) else { return Mac::default() };
    for part in parts {
        state.update(part);
    }
    state.finalize_fixed().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::message_header::INITIATION_LENGTH;

    const PUBLIC_KEY: [u8; 32] = [7; 32];

    fn from(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn fill(bytes: &mut [u8]) {
        bytes.fill(0x5a);
    }

    fn signed(jar: &mut CookieJar, now_ns: u64) -> Message {
        let mut message = Message::new(Kind::Initiation, &[9]);
        jar.sign(&mut message, now_ns);
        message
    }

    /// A checker under load, and a jar with its cookie of time 1.
    fn with_cookie(at: &str) -> (CookieChecker, CookieJar) {
        let (mut checker, mut jar) = (CookieChecker::new(&PUBLIC_KEY), CookieJar::new(&PUBLIC_KEY));
        let message = signed(&mut jar, 1);
        let reply = checker.reply(&message, 9, from(at), 1, &mut fill);
        assert!(jar.accept(&reply, 1));
        (checker, jar)
    }

    #[test]
    fn mac1_covers_the_public_key_and_every_byte() {
        let checker = CookieChecker::new(&PUBLIC_KEY);
        let message = signed(&mut CookieJar::new(&PUBLIC_KEY), 1);
        assert!(checker.is_mac1_right(&message));
        assert!(!CookieChecker::new(&[8; 32]).is_mac1_right(&message));
        for i in 0..INITIATION_LENGTH - MAC_LENGTH {
            let mut other = message.clone();
            other[i] ^= 1;
            assert!(!checker.is_mac1_right(&other), "byte {i}");
        }
    }

    #[test]
    fn a_cookie_is_valid_for_its_address_and_port_only() {
        for at in ["192.0.2.1:4000", "[2001:db8::1]:4000"] {
            let (checker, mut jar) = with_cookie(at);
            let message = signed(&mut jar, 2);
            assert!(checker.is_mac2_right(&message, from(at), 2));
            let elsewhere = ["192.0.2.2:4000", "192.0.2.1:4001", "[2001:db8::1]:4001"];
            for other in elsewhere.map(from).into_iter().filter(|other| *other != from(at)) {
                assert!(!checker.is_mac2_right(&message, other, 2), "{other}");
            }
        }
    }

    #[test]
    fn mac2_is_zero_and_wrong_without_a_cookie() {
        let (checker, _) = with_cookie("192.0.2.1:4000");
        let message = signed(&mut CookieJar::new(&PUBLIC_KEY), 2);
        assert_eq!(message[INITIATION_LENGTH - MAC_LENGTH..], [0; MAC_LENGTH]);
        assert!(!checker.is_mac2_right(&message, from("192.0.2.1:4000"), 2));
    }

    #[test]
    fn no_mac2_is_right_before_there_is_a_secret() {
        let checker = CookieChecker::new(&PUBLIC_KEY);
        let message = signed(&mut CookieJar::new(&PUBLIC_KEY), 1);
        assert!(!checker.is_mac2_right(&message, from("192.0.2.1:4000"), 1));
    }

    #[test]
    fn the_secret_is_used_for_120_s() {
        let at = from("192.0.2.1:4000");
        let (mut checker, mut jar) = with_cookie("192.0.2.1:4000");
        let message = signed(&mut jar, 2);
        assert!(checker.is_mac2_right(&message, at, 1 + SECRET_LIFE_NS));
        assert!(!checker.is_mac2_right(&message, at, 2 + SECRET_LIFE_NS));
        checker.reply(&message, 9, at, 2 + SECRET_LIFE_NS, &mut |bytes| bytes.fill(1));
        assert!(!checker.is_mac2_right(&message, at, 3 + SECRET_LIFE_NS), "a new secret");
    }

    #[test]
    fn a_cookie_is_used_for_115_s() {
        let (_, mut jar) = with_cookie("192.0.2.1:4000");
        let mac2 = |message: &[u8]| message[INITIATION_LENGTH - MAC_LENGTH..] != [0; MAC_LENGTH];
        assert!(mac2(&signed(&mut jar, 1 + COOKIE_LIFE_NS)));
        assert!(!mac2(&signed(&mut jar, 2 + COOKIE_LIFE_NS)));
    }

    #[test]
    fn a_reply_is_accepted_once_and_only_for_its_message() {
        let (mut checker, mut jar) = (CookieChecker::new(&PUBLIC_KEY), CookieJar::new(&PUBLIC_KEY));
        let at = from("192.0.2.1:4000");
        let first = signed(&mut jar, 1);
        let reply = checker.reply(&first, 9, at, 1, &mut fill);
        let mut other = CookieJar::new(&PUBLIC_KEY);
        assert!(!other.accept(&reply, 1), "it has sent no message");
        let mut message = Message::new(Kind::Initiation, &[10]);
        other.sign(&mut message, 1);
        assert!(!other.accept(&reply, 1), "it has sent another message");
        assert!(jar.accept(&reply, 1));
        assert!(!jar.accept(&reply, 1));
    }

    #[test]
    fn each_flipped_bit_of_a_reply_is_detected() {
        let (mut checker, mut jar) = (CookieChecker::new(&PUBLIC_KEY), CookieJar::new(&PUBLIC_KEY));
        let message = signed(&mut jar, 1);
        let reply = checker.reply(&message, 9, from("192.0.2.1:4000"), 1, &mut fill);
        for bit in 8 * 8..COOKIE_LENGTH * 8 {
            let mut other = reply.clone();
            other[bit / 8] ^= 1 << (bit % 8);
            assert!(!jar.accept(&other, 1), "bit {bit}");
        }
        assert!(jar.accept(&reply, 1));
    }
}
