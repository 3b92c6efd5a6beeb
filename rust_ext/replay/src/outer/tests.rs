//! Sessions of two devices on a virtual wire, opened from either end's view.

mod ends;
mod tshark;

use pyfw_core::{
    time::SECOND_NS,
    wireguard::{device::KeyLog, noise::message::Kind},
};

use self::ends::{PRESHARED, Wire, opener};
use super::*;
use crate::{capture::Capture, capture::LinkType, pcapng::PcapngWriter};

/// What became of each datagram, in a word or two.
fn outcomes(opener: &mut Decryptor, wire: &[Vec<u8>]) -> Vec<String> {
    wire.iter()
        .map(|payload| match opener.datagram(payload) {
            Opened::Handshake(Kind::Initiation) => "initiation".into(),
            Opened::Handshake(Kind::Response) => "response".into(),
            Opened::Handshake(Kind::CookieReply) => "cookie".into(),
            Opened::Packet { plaintext, by_initiator, counter, late, .. } => {
                let from = if by_initiator { "initiator" } else { "responder" };
                let late = if late { " late" } else { "" };
                format!("{from} {counter} {}{late}", plaintext[20])
            }
            Opened::Keepalive => "keepalive".into(),
            Opened::Failed(reason) => reason.name().into(),
        })
        .collect()
}

/// A handshake, a keepalive, and one packet each way: they are marked 1 and 2.
const TALK: [&str; 5] = ["initiation", "response", "keepalive", "initiator 1 1", "responder 0 2"];

fn talk(preshared_key: [u8; 32]) -> Wire {
    let mut wire = Wire::new(preshared_key);
    wire.handshake(0);
    wire.send(0, 1);
    wire.send(1, 2);
    wire
}

#[test]
fn either_ends_key_log_opens_everything() {
    for preshared_key in [[0; 32], PRESHARED] {
        let wire = talk(preshared_key);
        for end in 0..2 {
            let mut opener = opener(&wire.key_log(end));
            assert_eq!(outcomes(&mut opener, &wire.sent), TALK);
            let counts =
                OpenCounts { handshakes: 2, packets: 2, keepalives: 1, ..Default::default() };
            assert_eq!(*opener.counts(), counts);
        }
    }
}

#[test]
fn the_sender_is_known_by_its_static_key() {
    let wire = talk([0; 32]);
    let mut opener = opener(&wire.key_log(0));
    let senders: Vec<_> = wire
        .sent
        .iter()
        .filter_map(|payload| match opener.datagram(payload) {
            Opened::Packet { sender, .. } => Some(sender),
            _ => None,
        })
        .collect();
    assert_eq!(senders, [wire.public_key(0), wire.public_key(1)]);
}

#[test]
fn rekeys_by_either_end_are_followed() {
    let mut wire = talk(PRESHARED);
    wire.advance(130 * SECOND_NS);
    wire.handshake(1);
    wire.send(0, 3);
    wire.advance(130 * SECOND_NS);
    wire.handshake(0);
    wire.send(1, 4);
    let expected = [
        &TALK[..],
        &["initiation", "response", "keepalive", "responder 0 3"],
        &["initiation", "response", "keepalive", "responder 0 4"],
    ]
    .concat();
    for end in 0..2 {
        assert_eq!(outcomes(&mut opener(&wire.key_log(end)), &wire.sent), expected);
    }
}

#[test]
fn both_static_keys_and_one_ephemeral_are_enough() {
    let wire = talk([0; 32]);
    let lines = |end: usize, name: &str| -> String {
        wire.key_log(end)
            .lines()
            .filter(|l| l.starts_with(name))
            .map(|l| format!("{l}\n"))
            .collect()
    };
    let statics = lines(0, "LOCAL_STATIC") + &lines(1, "LOCAL_STATIC");
    for end in 0..2 {
        let text = statics.clone() + &lines(end, "LOCAL_EPHEMERAL");
        assert_eq!(outcomes(&mut opener(&text), &wire.sent), TALK, "ephemeral of end {end}");
    }
    // Static keys alone open the initiation, and no more: that is forward secrecy.
    let expected = ["initiation", "missing_keys", "no_session", "no_session", "no_session"];
    assert_eq!(outcomes(&mut opener(&statics), &wire.sent), expected);
}

#[test]
fn wrong_keys_fail_with_a_reason() {
    let wire = talk(PRESHARED);
    let log = wire.key_log(0);
    let without = |name: &str| -> String {
        log.lines().filter(|line| !line.starts_with(name)).map(|line| format!("{line}\n")).collect()
    };
    let dark = ["no_session"; 3];
    let others = format!("LOCAL_STATIC_PRIVATE_KEY = {}w=\n", "x".repeat(42));
    let cases = [
        (String::new(), ["unknown_receiver", "unknown_receiver"]),
        (others, ["unknown_receiver", "unknown_receiver"]),
        (without("LOCAL_EPHEMERAL").replace("PRESHARED", "# "), ["missing_keys", "missing_keys"]),
        (without("LOCAL_STATIC"), ["missing_keys", "missing_keys"]),
        (without("PRESHARED"), ["initiation", "wrong_keys"]),
    ];
    for (text, handshake) in cases {
        let expected = [&handshake[..], &dark].concat();
        assert_eq!(outcomes(&mut opener(&text), &wire.sent), expected, "{text}");
    }
}

#[test]
fn damaged_handshakes_are_not_believed_and_do_no_harm() {
    let wire = talk([0; 32]);
    let mut damaged = wire.sent.clone();
    // The static key of the initiation is sealed from byte 40 on, the response's nothing from 44.
    damaged[0][50] ^= 1;
    damaged[1][50] ^= 1;
    let mut opener = opener(&wire.key_log(0));
    // mac1 covers the initiation, so it is not even for us.
    assert_eq!(outcomes(&mut opener, &damaged[..1]), ["unknown_receiver"]);
    assert_eq!(outcomes(&mut opener, &wire.sent[..1]), ["initiation"]);
    assert_eq!(outcomes(&mut opener, &damaged[1..2]), ["wrong_keys"]);
    assert_eq!(outcomes(&mut opener, &wire.sent[1..]), TALK[1..]);
}

#[test]
fn copies_are_replays_wherever_they_come() {
    let wire = talk([0; 32]);
    let twice = wire.sent.iter().flat_map(|payload| [payload.clone(), payload.clone()]);
    let twice: Vec<_> = twice.chain(wire.sent.clone()).collect();
    let outcomes = outcomes(&mut opener(&wire.key_log(1)), &twice);
    let doubled = TALK.iter().flat_map(|first| {
        let again =
            if first.ends_with("tion") || *first == "response" { first } else { "replayed" };
        [*first, again]
    });
    let again = ["initiation", "response", "replayed", "replayed", "replayed"];
    assert_eq!(outcomes, doubled.chain(again).collect::<Vec<_>>());
}

#[test]
fn late_and_forged_data_are_told_apart() {
    let mut wire = talk([0; 32]);
    for mark in 3..6 {
        wire.send(0, mark);
    }
    let [rest @ .., two, three, four] = &wire.sent[..] else { panic!("nothing was sent") };
    let mut forged = four.clone();
    forged[16] ^= 1;
    let order = [rest, &[forged, four.clone(), two.clone(), three.clone()]].concat();
    let mut opener = opener(&wire.key_log(0));
    let outcomes = outcomes(&mut opener, &order);
    assert_eq!(
        outcomes[TALK.len()..],
        ["forged", "initiator 4 5", "initiator 2 3 late", "initiator 3 4 late"]
    );
    assert_eq!(opener.counts().late, 2);
    assert_eq!(opener.counts().failed[Reason::Forged as usize], 1);
}

#[test]
fn data_before_its_handshake_and_strangers_are_counted() {
    let wire = talk([0; 32]);
    let mut opener = opener(&wire.key_log(0));
    let strange =
        [vec![], vec![4, 0, 0, 0], vec![0; 148], wire.sent[1].clone(), wire.sent[3].clone()];
    assert_eq!(
        outcomes(&mut opener, &strange),
        ["not_wireguard", "not_wireguard", "not_wireguard", "no_initiation", "no_session"]
    );
    assert_eq!(opener.counts().failed[Reason::NotWireGuard as usize], 3);
}

#[test]
fn keys_may_come_after_the_initiation_but_before_the_response() {
    let wire = talk(PRESHARED);
    let mut opener = opener("");
    assert_eq!(outcomes(&mut opener, &wire.sent[..1]), ["unknown_receiver"]);
    assert_eq!(opener.add_secrets(&wire.key_log(1)), 0);
    assert_eq!(outcomes(&mut opener, &wire.sent[1..]), TALK[1..]);
}

#[test]
fn a_capture_that_brings_its_keys_opens_itself() {
    let wire = talk(PRESHARED);
    // The responder has its keys when it answers: their block stands before the response.
    for (end, before) in [(0, 0), (1, 1)] {
        let outer = [("outer", LinkType::Raw)];
        let mut writer = PcapngWriter::new(Vec::new(), &outer, None).unwrap();
        for (id, packet) in (0..).zip(wire.packets()) {
            if id == before {
                writer.secrets(&wire.key_log(end)).unwrap();
            }
            writer.packet(0, id * 1000, &packet, id, true, None).unwrap();
        }
        let bytes = std::io::Cursor::new(writer.finish().unwrap());
        let mut capture = Capture::from_reader(bytes).unwrap();
        let mut opener = opener("");
        let mut seen = Vec::new();
        let mut known = 0;
        while let Some(packet) = capture.next().unwrap() {
            for text in &packet.secrets[known..] {
                assert_eq!(opener.add_secrets(text), 0);
            }
            known = packet.secrets.len();
            let payload = datagram(packet.bytes).unwrap().payload.to_vec();
            seen.extend(outcomes(&mut opener, &[payload]));
        }
        assert_eq!(seen[before as usize..], TALK[before as usize..]);
    }
}

#[test]
fn datagrams_are_found_in_both_families_and_fragments_are_not() {
    let mut packet = ends::packet(0, b"hello");
    let found = datagram(&packet).unwrap();
    assert_eq!(found.source, "192.0.2.1:51820".parse().unwrap());
    assert_eq!(found.destination, "192.0.2.2:51820".parse().unwrap());
    assert_eq!(found.payload, b"hello");
    assert_eq!(datagram(&packet[..30]), Err(NotUdp::Cut));
    assert_eq!(datagram(&[0; 40]), Err(NotUdp::Invalid));
    packet[6] = 0x20;
    assert_eq!(datagram(&packet), Err(NotUdp::Fragment));
    packet[6] = 0;
    packet[9] = 6;
    assert_eq!(datagram(&packet), Err(NotUdp::Other));

    let mut v6 = vec![0x60, 0, 0, 0, 0, 13, 17, 64];
    v6.extend([1; 16].iter().chain(&[2; 16]));
    v6.extend([0, 7, 0, 9, 0, 13, 0, 0]);
    v6.extend(b"hello");
    let found = datagram(&v6).unwrap();
    assert_eq!(found.source, "[101:101:101:101:101:101:101:101]:7".parse().unwrap());
    assert_eq!((found.destination.port(), found.payload), (9, &b"hello"[..]));
    v6[6] = 44;
    assert_eq!(datagram(&v6), Err(NotUdp::Fragment));
}

#[test]
fn a_key_log_of_the_operators_is_judged_line_by_line() {
    let key = "AKeZaHwBxjiKLFnkY2unvEdOTtg4AL+M9dQXfopFVFk=";
    let heading =
        format!("New handshake session:\n\n# mine\n  LOCAL_STATIC_PRIVATE_KEY = {key}\r\n");
    assert!(!OuterKeys::from_keylog(&heading).unwrap().is_empty());
    let cases = [
        (format!("LOCAL_STATIC_KEY = {key}"), "\"LOCAL_STATIC_KEY\" is no name of a key"),
        ("REMOTE_STATIC_PUBLIC_KEY = AAAA".into(), "44 characters of base64"),
        (format!("PRESHARED_KEY={key}"), "without a LOCAL_EPHEMERAL_PRIVATE_KEY before it"),
    ];
    for (line, text) in cases {
        let error = OuterKeys::from_keylog(&format!("{heading}{line}\n")).err().unwrap();
        assert_eq!(error.line, 5);
        assert!(error.to_string().contains(text), "{error}");
        assert!(!error.to_string().contains("AAAA"), "a key is shown");
        assert_eq!(OuterKeys::default().add_secrets(&line), 1);
    }
}

#[test]
fn a_key_log_is_written_in_wiresharks_words() {
    let secret = |byte| [byte; 32].into();
    let log = KeyLog {
        peer: pyfw_core::wireguard::peer::PeerId(0),
        public_key: [2; 32],
        static_secret: secret(1),
        ephemeral_secret: secret(3),
        preshared_key: secret(0),
    };
    assert_eq!(
        *key_log_text(&log),
        "LOCAL_STATIC_PRIVATE_KEY = AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\n\
         REMOTE_STATIC_PUBLIC_KEY = AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=\n\
         LOCAL_EPHEMERAL_PRIVATE_KEY = AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM=\n\
         PRESHARED_KEY = AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"
    );
}
