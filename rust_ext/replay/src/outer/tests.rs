//! Traffic of two devices, decrypted with the key log of either.

mod peers;
mod tshark;

use pyfw_core::{
    time::SECOND_NS,
    wireguard::{device::KeyLog, noise::message::Kind},
};

use self::peers::{PRESHARED, Wire, decryptor};
use super::*;
use crate::{capture::Capture, capture::LinkType, pcapng::PcapngWriter};

/// Describes each datagram as it is decrypted.
fn describe(decryptor: &mut Decryptor, wire: &[Vec<u8>]) -> Vec<String> {
    wire.iter()
        .map(|payload| match decryptor.open(payload) {
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

/// A handshake, a keepalive, and one packet each way, marked 1 and 2.
const EXCHANGE: [&str; 5] =
    ["initiation", "response", "keepalive", "initiator 1 1", "responder 0 2"];

fn exchange(preshared_key: [u8; 32]) -> Wire {
    let mut wire = Wire::new(preshared_key);
    wire.handshake(0);
    wire.send(0, 1);
    wire.send(1, 2);
    wire
}

#[test]
fn the_key_log_of_either_peer_decrypts_everything() {
    for preshared_key in [[0; 32], PRESHARED] {
        let wire = exchange(preshared_key);
        for peer in 0..2 {
            let mut decryptor = decryptor(&wire.key_log(peer));
            assert_eq!(describe(&mut decryptor, &wire.sent), EXCHANGE);
            let counts =
                OpenCounts { handshakes: 2, packets: 2, keepalives: 1, ..Default::default() };
            assert_eq!(*decryptor.counts(), counts);
        }
    }
}

#[test]
fn the_sender_is_its_static_key() {
    let wire = exchange([0; 32]);
    let mut decryptor = decryptor(&wire.key_log(0));
    let senders: Vec<_> = wire
        .sent
        .iter()
        .filter_map(|payload| match decryptor.open(payload) {
            Opened::Packet { sender, .. } => Some(sender),
            _ => None,
        })
        .collect();
    assert_eq!(senders, [wire.public_key(0), wire.public_key(1)]);
}

#[test]
fn rekeys_by_either_peer_are_followed() {
    let mut wire = exchange(PRESHARED);
    wire.advance(130 * SECOND_NS);
    wire.handshake(1);
    wire.send(0, 3);
    wire.advance(130 * SECOND_NS);
    wire.handshake(0);
    wire.send(1, 4);
    let expected = [
        &EXCHANGE[..],
        &["initiation", "response", "keepalive", "responder 0 3"],
        &["initiation", "response", "keepalive", "responder 0 4"],
    ]
    .concat();
    for peer in 0..2 {
        assert_eq!(describe(&mut decryptor(&wire.key_log(peer)), &wire.sent), expected);
    }
}

#[test]
fn both_static_keys_and_one_ephemeral_suffice() {
    let wire = exchange([0; 32]);
    let lines = |peer: usize, name: &str| -> String {
        wire.key_log(peer)
            .lines()
            .filter(|l| l.starts_with(name))
            .map(|l| format!("{l}\n"))
            .collect()
    };
    let statics = lines(0, "LOCAL_STATIC") + &lines(1, "LOCAL_STATIC");
    for peer in 0..2 {
        let text = statics.clone() + &lines(peer, "LOCAL_EPHEMERAL");
        assert_eq!(
            describe(&mut decryptor(&text), &wire.sent),
            EXCHANGE,
            "ephemeral key of peer {peer}"
        );
    }
    // Static keys alone decrypt only the initiation: forward secrecy.
    let expected = ["initiation", "missing_keys", "no_session", "no_session", "no_session"];
    assert_eq!(describe(&mut decryptor(&statics), &wire.sent), expected);
}

#[test]
fn wrong_keys_fail_with_a_reason() {
    let wire = exchange(PRESHARED);
    let log = wire.key_log(0);
    let without = |name: &str| -> String {
        log.lines().filter(|line| !line.starts_with(name)).map(|line| format!("{line}\n")).collect()
    };
    let no_data = ["no_session"; 3];
    let others = format!("LOCAL_STATIC_PRIVATE_KEY = {}w=\n", "x".repeat(42));
    let cases = [
        (String::new(), ["unknown_receiver", "unknown_receiver"]),
        (others, ["unknown_receiver", "unknown_receiver"]),
        (without("LOCAL_EPHEMERAL").replace("PRESHARED", "# "), ["missing_keys", "missing_keys"]),
        (without("LOCAL_STATIC"), ["missing_keys", "missing_keys"]),
        (without("PRESHARED"), ["initiation", "wrong_keys"]),
    ];
    for (text, handshake) in cases {
        let expected = [&handshake[..], &no_data].concat();
        assert_eq!(describe(&mut decryptor(&text), &wire.sent), expected, "{text}");
    }
}

#[test]
fn damaged_handshakes_are_rejected() {
    let wire = exchange([0; 32]);
    let mut damaged = wire.sent.clone();
    // Byte 50 lies in the initiation's encrypted static key and the response's encrypted nothing.
    damaged[0][50] ^= 1;
    damaged[1][50] ^= 1;
    let mut decryptor = decryptor(&wire.key_log(0));
    // mac1 covers the whole initiation, so its receiver is unknown.
    assert_eq!(describe(&mut decryptor, &damaged[..1]), ["unknown_receiver"]);
    assert_eq!(describe(&mut decryptor, &wire.sent[..1]), ["initiation"]);
    assert_eq!(describe(&mut decryptor, &damaged[1..2]), ["wrong_keys"]);
    assert_eq!(describe(&mut decryptor, &wire.sent[1..]), EXCHANGE[1..]);
}

#[test]
fn repeated_data_is_a_replay() {
    let wire = exchange([0; 32]);
    let twice = wire.sent.iter().flat_map(|payload| [payload.clone(), payload.clone()]);
    let twice: Vec<_> = twice.chain(wire.sent.clone()).collect();
    let described = describe(&mut decryptor(&wire.key_log(1)), &twice);
    let doubled = EXCHANGE.iter().flat_map(|first| {
        let again =
            if first.ends_with("tion") || *first == "response" { first } else { "replayed" };
        [*first, again]
    });
    let again = ["initiation", "response", "replayed", "replayed", "replayed"];
    assert_eq!(described, doubled.chain(again).collect::<Vec<_>>());
}

#[test]
fn late_and_forged_data_are_distinguished() {
    let mut wire = exchange([0; 32]);
    for mark in 3..6 {
        wire.send(0, mark);
    }
    let [rest @ .., two, three, four] = &wire.sent[..] else { panic!("nothing was sent") };
    let mut forged = four.clone();
    forged[16] ^= 1;
    let order = [rest, &[forged, four.clone(), two.clone(), three.clone()]].concat();
    let mut decryptor = decryptor(&wire.key_log(0));
    let described = describe(&mut decryptor, &order);
    assert_eq!(
        described[EXCHANGE.len()..],
        ["forged", "initiator 4 5", "initiator 2 3 late", "initiator 3 4 late"]
    );
    assert_eq!(decryptor.counts().late, 2);
    assert_eq!(decryptor.counts().failed[Reason::Forged as usize], 1);
}

#[test]
fn data_without_a_handshake_is_counted() {
    let wire = exchange([0; 32]);
    let mut decryptor = decryptor(&wire.key_log(0));
    let strange =
        [vec![], vec![4, 0, 0, 0], vec![0; 148], wire.sent[1].clone(), wire.sent[3].clone()];
    assert_eq!(
        describe(&mut decryptor, &strange),
        ["not_wireguard", "not_wireguard", "not_wireguard", "no_initiation", "no_session"]
    );
    assert_eq!(decryptor.counts().failed[Reason::NotWireGuard as usize], 3);
}

#[test]
fn keys_may_arrive_after_the_initiation() {
    let wire = exchange(PRESHARED);
    let mut decryptor = decryptor("");
    assert_eq!(describe(&mut decryptor, &wire.sent[..1]), ["unknown_receiver"]);
    assert_eq!(decryptor.add_secrets(&wire.key_log(1)), 0);
    assert_eq!(describe(&mut decryptor, &wire.sent[1..]), EXCHANGE[1..]);
}

#[test]
fn a_capture_with_its_keys_decrypts_itself() {
    let wire = exchange(PRESHARED);
    // The responder knows its keys once it responds, so its block precedes the response.
    for (peer, before) in [(0, 0), (1, 1)] {
        let outer = [("outer", LinkType::Raw)];
        let mut writer = PcapngWriter::new(Vec::new(), &outer, None).unwrap();
        for (id, packet) in (0..).zip(wire.packets()) {
            if id == before {
                writer.secrets(&wire.key_log(peer)).unwrap();
            }
            writer.packet(0, id * 1000, &packet, id, true, None).unwrap();
        }
        let bytes = std::io::Cursor::new(writer.finish().unwrap());
        let mut capture = Capture::from_reader(bytes).unwrap();
        let mut decryptor = decryptor("");
        let mut seen = Vec::new();
        let mut known = 0;
        while let Some(packet) = capture.next().unwrap() {
            for text in &packet.secrets[known..] {
                assert_eq!(decryptor.add_secrets(text), 0);
            }
            known = packet.secrets.len();
            let payload = datagram(packet.bytes).unwrap().payload.to_vec();
            seen.extend(describe(&mut decryptor, &[payload]));
        }
        assert_eq!(seen[before as usize..], EXCHANGE[before as usize..]);
    }
}

#[test]
fn datagrams_are_extracted_but_not_from_fragments() {
    let mut packet = peers::packet(0, b"hello");
    let found = datagram(&packet).unwrap();
    assert_eq!(found.source, "192.0.2.1:51820".parse().unwrap());
    assert_eq!(found.destination, "192.0.2.2:51820".parse().unwrap());
    assert_eq!(found.payload, b"hello");
    assert_eq!(datagram(&packet[..30]), Err(NotUdp::Truncated));
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
fn key_log_errors_name_the_line() {
    let key = "AKeZaHwBxjiKLFnkY2unvEdOTtg4AL+M9dQXfopFVFk=";
    let heading =
        format!("New handshake session:\n\n# mine\n  LOCAL_STATIC_PRIVATE_KEY = {key}\r\n");
    assert!(!OuterKeys::from_keylog(&heading).unwrap().is_empty());
    let cases = [
        (format!("LOCAL_STATIC_KEY = {key}"), "unknown key name \"LOCAL_STATIC_KEY\""),
        ("REMOTE_STATIC_PUBLIC_KEY = AAAA".into(), "44 characters of base64"),
        (format!("PRESHARED_KEY={key}"), "without a LOCAL_EPHEMERAL_PRIVATE_KEY before it"),
    ];
    for (line, text) in cases {
        let error = OuterKeys::from_keylog(&format!("{heading}{line}\n")).err().unwrap();
        assert_eq!(error.line, 5);
        assert!(error.to_string().contains(text), "{error}");
        assert!(!error.to_string().contains("AAAA"), "the error shows a key");
        assert_eq!(OuterKeys::default().add_secrets(&line), 1);
    }
}

#[test]
fn a_key_log_has_wiresharks_format() {
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
