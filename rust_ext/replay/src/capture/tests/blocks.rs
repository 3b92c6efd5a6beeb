//! Sections, interfaces, the three kinds of packets, secrets, and invalid blocks.

use std::io::Cursor;

use super::{
    super::*,
    build::{
        BIG, LITTLE, block, drain, failing, interface, ipv4, option, packet, packets, padded,
        section, u32s,
    },
};

const RAW: u16 = 101;

fn times(capture: &[u8]) -> Vec<u64> {
    packets(capture).iter().map(|packet| packet.time_ns).collect()
}

#[test]
fn sections_may_differ_in_byte_order() {
    let part = |order, length| {
        [section(order), interface(order, RAW, 0, &[]), packet(order, 0, 5, &ipv4(length))].concat()
    };
    let got = packets(&[part(LITTLE, 40), part(BIG, 60)].concat());
    assert_eq!(got.iter().map(|packet| packet.bytes.len()).collect::<Vec<_>>(), [40, 60]);
    assert_eq!(got.iter().map(|packet| packet.time_ns).collect::<Vec<_>>(), [5000, 5000]);
}

#[test]
fn interfaces_have_their_own_link_type_unit_and_name() {
    for order in [LITTLE, BIG] {
        let named = [option(order, 2, b"inner"), option(order, 9, &[9])].concat();
        let ethernet = [&[2; 12][..], &[0x08, 0x00], &ipv4(40)].concat();
        let capture = [
            section(order),
            interface(order, 1, 0, &[]),
            interface(order, RAW, 0, &named),
            packet(order, 1, 7, &ipv4(20)),
            packet(order, 0, 7, &ethernet),
        ]
        .concat();
        let ((got, error), capture) = drain(Capture::from_reader(Cursor::new(capture)).unwrap());
        assert_eq!(error, None);
        let seen: Vec<_> = got.iter().map(|p| (p.interface, p.time_ns, p.bytes.len())).collect();
        assert_eq!(seen, [(1, 7, 20), (0, 7000, 40)]);
        assert_eq!(capture.interface_name(0), None);
        assert_eq!(capture.interface_name(1), Some("inner"));
        assert_eq!(capture.interface_name(2), None);
    }
}

#[test]
fn time_stamps_use_the_unit_of_their_interface() {
    let cases: [(&[u8], i64, u64, u64); 11] = [
        (&[6], 0, 1, 1000),
        (&[9], 0, 1, 1),
        (&[0], 0, 3, 3_000_000_000),
        (&[3], 0, 1, 1_000_000),
        (&[12], 0, 7999, 7),
        (&[127], 0, u64::MAX, 0),
        (&[0x80 | 10], 0, 1536, 1_500_000_000),
        (&[0x80 | 127], 0, u64::MAX, 0),
        (&[9], 1_700_000_000, 1, 1_700_000_000_000_000_001),
        // Times that do not fit are clamped.
        (&[9], -5, 1, 0),
        (&[0], 0, u64::MAX, u64::MAX),
    ];
    for order in [LITTLE, BIG] {
        for (resolution, offset_s, stamp, time_ns) in cases {
            let offset = match order {
                LITTLE => offset_s.to_le_bytes(),
                BIG => offset_s.to_be_bytes(),
            };
            let options = [option(order, 9, resolution), option(order, 14, &offset)].concat();
            let interface = interface(order, RAW, 0, &options);
            let packet = packet(order, 0, stamp, &ipv4(20));
            let capture = [section(order), interface, packet].concat();
            assert_eq!(times(&capture), [time_ns], "{resolution:?} {offset_s} {stamp}");
        }
    }
}

#[test]
fn old_and_simple_packets_are_read() {
    let old = |stamp: u32| {
        // Interface 0 in 16 bits, then 16 bits of drops.
        let head = [vec![0, 0, 9, 9], u32s(LITTLE, &[0, stamp, 40, 40])].concat();
        block(LITTLE, 2, &[head, ipv4(40)].concat())
    };
    let simple =
        |length: u32| block(LITTLE, 3, &[u32s(LITTLE, &[length]), padded(&ipv4(50))].concat());
    let capture =
        [section(LITTLE), interface(LITTLE, RAW, 50, &[]), simple(50), old(3), simple(1400)];
    let got = packets(&capture.concat());
    let seen: Vec<_> = got.iter().map(|p| (p.time_ns, p.bytes.len(), p.is_truncated)).collect();
    // A simple packet takes the time of the packet before it.
    assert_eq!(seen, [(0, 50, false), (3000, 40, false), (3000, 50, false)]);
}

#[test]
fn long_unknown_blocks_are_skipped() {
    let unknown = block(LITTLE, 0x0bad, &vec![0xaa; 3_000_000]);
    let head = [section(LITTLE), interface(LITTLE, RAW, 0, &[])].concat();
    let capture = [head, unknown, packet(LITTLE, 0, 1, &ipv4(40))].concat();
    let ((got, error), capture) = drain(Capture::from_reader(Cursor::new(capture)).unwrap());
    assert_eq!((got.len(), error), (1, None));
    assert_eq!(capture.stream.capacity(), 256 * 1024);
}

#[test]
fn secrets_are_available_after_their_block() {
    let secrets = |kind: u32, text: &[u8]| {
        let head = u32s(LITTLE, &[kind, text.len() as u32]);
        block(LITTLE, 10, &[head, padded(text)].concat())
    };
    let capture = [
        section(LITTLE),
        interface(LITTLE, RAW, 0, &[]),
        secrets(0x5747_4b4c, b"first"),
        secrets(0x544c_534b, b"CLIENT_RANDOM"),
        packet(LITTLE, 0, 1, &ipv4(40)),
        secrets(0x5747_4b4c, b"second\n"),
        packet(LITTLE, 0, 1, &ipv4(40)),
    ];
    let mut capture = Capture::from_reader(Cursor::new(capture.concat())).unwrap();
    assert!(capture.secrets().is_empty());
    assert_eq!(capture.next().unwrap().unwrap().secrets, ["first"]);
    assert_eq!(capture.next().unwrap().unwrap().secrets, ["first", "second\n"]);
    assert_eq!(capture.secrets().len(), 2);
}

#[test]
fn an_unsupported_link_type_fails_only_its_packets() {
    let head = [section(LITTLE), interface(LITTLE, RAW, 0, &[]), interface(LITTLE, 251, 0, &[])];
    let sound = [&head.concat()[..], &packet(LITTLE, 0, 1, &ipv4(40))].concat();
    assert_eq!(packets(&sound).len(), 1);
    let (got, error) = failing(&[&sound[..], &packet(LITTLE, 1, 1, &[0; 8])].concat());
    assert_eq!((got, error.offset), (1, sound.len() as u64));
    assert!(error.text.starts_with("link type 251 is not supported"));
}

#[test]
fn invalid_blocks_are_errors_with_their_offset() {
    let sound =
        [section(LITTLE), interface(LITTLE, RAW, 0, &[]), packet(LITTLE, 0, 1, &ipv4(40))].concat();
    let whole = packet(LITTLE, 0, 1, &ipv4(40));
    let with = |at: usize, bytes: &[u8]| {
        let mut block = whole.clone();
        block[at..at + bytes.len()].copy_from_slice(bytes);
        block
    };
    let cases: [(Vec<u8>, &str); 12] = [
        (with(4, &[0, 0, 0, 0]), "a block length of 0"),
        (with(4, &[8, 0, 0, 0]), "a block length of 8"),
        (with(4, &[73, 0, 0, 0]), "a multiple of 4"),
        (with(4, &[0, 0, 0, 0x80]), "expected 20 to 1048576"),
        (
            with(whole.len() - 4, &[0, 0, 0, 0]),
            "a block length of 72 before the body, but 0 after it",
        ),
        (with(8, &[9]), "a packet of interface 9, but the section describes only 1 before it"),
        (with(20, &[44, 0, 0, 0, 44]), "claims 44 bytes of data but has room for 40"),
        (with(20, &[0, 0, 0, 0x7f, 0, 0, 0, 0x7f]), "the maximum is 262144"),
        (with(24, &[1]), "of a frame of 1 bytes"),
        (block(LITTLE, 6, &[0; 12]), "a packet block with a body of 12 bytes"),
        (block(LITTLE, 1, &[0; 4]), "an interface description with a body of 4 bytes"),
        (
            block(LITTLE, 10, &u32s(LITTLE, &[0x5747_4b4c, 100, 0])),
            "the secrets block claims 100 bytes of data but has room for 4",
        ),
    ];
    for (invalid, text) in cases {
        let (got, error) = failing(&[&sound[..], &invalid, &[0; 100]].concat());
        assert_eq!((got, error.offset), (1, sound.len() as u64), "{error}");
        assert!(error.text.contains(text), "{error}");
    }
}

#[test]
fn a_section_of_unknown_order_or_version_is_an_error() {
    let mut order = section(LITTLE);
    order[8] = 0;
    assert!(failing(&order).1.text.contains("byte order magic"));
    let mut version = section(BIG);
    version[13] = 2;
    assert_eq!(failing(&version).1.text, "pcapng version 2 is not supported; expected 1");
}
