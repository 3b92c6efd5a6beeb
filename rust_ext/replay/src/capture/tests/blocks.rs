//! Sections, interfaces, packets of three kinds, secrets, and blocks that lie.

use std::io::Cursor;

use super::{
    super::*,
    build::{
        BIG, LITTLE, block, drain, failing, interface, ipv4, longs, option, packet, packets,
        padded, section,
    },
};

const RAW: u16 = 101;

fn times(capture: &[u8]) -> Vec<u64> {
    packets(capture).iter().map(|packet| packet.time_ns).collect()
}

#[test]
fn both_byte_orders_and_several_sections_are_read() {
    let part = |order, length| {
        [section(order), interface(order, RAW, 0, &[]), packet(order, 0, 5, &ipv4(length))].concat()
    };
    let given = packets(&[part(LITTLE, 40), part(BIG, 60)].concat());
    assert_eq!(given.iter().map(|packet| packet.bytes.len()).collect::<Vec<_>>(), [40, 60]);
    assert_eq!(given.iter().map(|packet| packet.time_ns).collect::<Vec<_>>(), [5000, 5000]);
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
        let ((given, error), capture) = drain(Capture::from_reader(Cursor::new(capture)).unwrap());
        assert_eq!(error, None);
        let seen: Vec<_> = given.iter().map(|p| (p.interface, p.time_ns, p.bytes.len())).collect();
        assert_eq!(seen, [(1, 7, 20), (0, 7000, 40)]);
        assert_eq!(capture.interface_name(0), None);
        assert_eq!(capture.interface_name(1), Some("inner"));
        assert_eq!(capture.interface_name(2), None);
    }
}

#[test]
fn time_stamps_count_whatever_their_interface_says() {
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
        // What is before the epoch or does not fit becomes the nearest time that does.
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
        let head = [vec![0, 0, 9, 9], longs(LITTLE, &[0, stamp, 40, 40])].concat();
        block(LITTLE, 2, &[head, ipv4(40)].concat())
    };
    let simple =
        |length: u32| block(LITTLE, 3, &[longs(LITTLE, &[length]), padded(&ipv4(50))].concat());
    let capture =
        [section(LITTLE), interface(LITTLE, RAW, 50, &[]), simple(50), old(3), simple(1400)];
    let given = packets(&capture.concat());
    let seen: Vec<_> = given.iter().map(|p| (p.time_ns, p.bytes.len(), p.cut)).collect();
    // A simple packet has no time: it is that of the packet before.
    assert_eq!(seen, [(0, 50, false), (3000, 40, false), (3000, 50, false)]);
}

#[test]
fn blocks_that_are_not_needed_are_passed_over_however_long() {
    let unknown = block(LITTLE, 0x0bad, &vec![0xaa; 3_000_000]);
    let head = [section(LITTLE), interface(LITTLE, RAW, 0, &[])].concat();
    let capture = [head, unknown, packet(LITTLE, 0, 1, &ipv4(40))].concat();
    let ((given, error), capture) = drain(Capture::from_reader(Cursor::new(capture)).unwrap());
    assert_eq!((given.len(), error), (1, None));
    assert_eq!(capture.stream.capacity(), 256 * 1024);
}

#[test]
fn secrets_are_there_once_their_block_was_passed() {
    let secrets = |kind: u32, text: &[u8]| {
        let head = longs(LITTLE, &[kind, text.len() as u32]);
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
fn an_unknown_link_type_matters_only_to_its_packets() {
    let head = [section(LITTLE), interface(LITTLE, RAW, 0, &[]), interface(LITTLE, 251, 0, &[])];
    let sound = [&head.concat()[..], &packet(LITTLE, 0, 1, &ipv4(40))].concat();
    assert_eq!(packets(&sound).len(), 1);
    let (given, error) = failing(&[&sound[..], &packet(LITTLE, 1, 1, &[0; 8])].concat());
    assert_eq!((given, error.offset), (1, sound.len() as u64));
    assert!(error.text.starts_with("link type 251 is not known"));
}

#[test]
fn blocks_that_lie_are_errors_at_their_beginning() {
    let sound =
        [section(LITTLE), interface(LITTLE, RAW, 0, &[]), packet(LITTLE, 0, 1, &ipv4(40))].concat();
    let whole = packet(LITTLE, 0, 1, &ipv4(40));
    let with = |at: usize, bytes: &[u8]| {
        let mut block = whole.clone();
        block[at..at + bytes.len()].copy_from_slice(bytes);
        block
    };
    let lies: [(Vec<u8>, &str); 12] = [
        (with(4, &[0, 0, 0, 0]), "the block says that it is 0 bytes long"),
        (with(4, &[8, 0, 0, 0]), "the block says that it is 8 bytes long"),
        (with(4, &[73, 0, 0, 0]), "a multiple of 4"),
        (with(4, &[0, 0, 0, 0x80]), "it would be 20 to 1048576"),
        (with(whole.len() - 4, &[0, 0, 0, 0]), "72 bytes long before its body, and 0 behind it"),
        (with(8, &[9]), "a packet of interface 9; the section has described 1 so far"),
        (with(20, &[44, 0, 0, 0, 44]), "holds 44 bytes; it has room for 40"),
        (with(20, &[0, 0, 0, 0x7f, 0, 0, 0, 0x7f]), "at most 262144"),
        (with(24, &[1]), "it cannot hold more than there were"),
        (block(LITTLE, 6, &[0; 12]), "a packet block has a body of 12 bytes"),
        (block(LITTLE, 1, &[0; 4]), "an interface description has a body of 4 bytes"),
        (
            block(LITTLE, 10, &longs(LITTLE, &[0x5747_4b4c, 100, 0])),
            "the secrets block says that it holds 100 bytes; it has room for 4",
        ),
    ];
    for (lie, text) in lies {
        let (given, error) = failing(&[&sound[..], &lie, &[0; 100]].concat());
        assert_eq!((given, error.offset), (1, sound.len() as u64), "{error}");
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
    assert_eq!(failing(&version).1.text, "pcapng of version 2; known is 1");
}
