//! Written files read back by our own reader and by pcap-parser.

use std::io::Cursor;

use pcap_parser::{
    Block, OptionCode, PcapBlockOwned, PcapError, PcapNGReader, traits::PcapReaderIterator,
};

use super::*;
use crate::capture::Capture;

const INTERFACES: [(&str, LinkType); 2] = [("outer", LinkType::Raw), ("inner", LinkType::Raw)];

/// Returns an IPv4 packet of `length` bytes.
fn ipv4(length: u16) -> Vec<u8> {
    let mut bytes = vec![0; usize::from(length)];
    bytes[0] = 0x45;
    bytes[2..4].copy_from_slice(&length.to_be_bytes());
    bytes
}

/// Describes each block as pcap-parser reads it.
fn describe_all(bytes: Vec<u8>) -> Vec<String> {
    let mut reader = PcapNGReader::new(300_000, Cursor::new(bytes)).unwrap();
    let mut blocks = Vec::new();
    loop {
        match reader.next() {
            Ok((consumed, PcapBlockOwned::NG(block))) => {
                blocks.push(describe(&block));
                reader.consume(consumed);
            }
            Ok(_) => panic!("not pcapng"),
            Err(PcapError::Incomplete(_)) => reader.refill().unwrap(),
            Err(PcapError::Eof) => return blocks,
            Err(error) => panic!("{error:?}"),
        }
    }
}

fn describe(block: &Block<'_>) -> String {
    let options = |options: &[pcap_parser::PcapNGOption<'_>]| {
        let mut text = String::new();
        for option in options.iter().filter(|option| option.code != OptionCode::EndOfOpt) {
            let value = option.as_bytes().unwrap_or_else(|error| panic!("{error:?}"));
            text += &format!(" {}={}", option.code.0, value.escape_ascii());
        }
        text
    };
    match block {
        Block::SectionHeader(b) => format!("section{}", options(&b.options)),
        Block::InterfaceDescription(b) => {
            format!("interface {} {}{}", b.linktype.0, b.snaplen, options(&b.options))
        }
        Block::EnhancedPacket(b) => {
            let stamp = u64::from(b.ts_high) << 32 | u64::from(b.ts_low);
            format!("packet {} {stamp} {} {}{}", b.if_id, b.caplen, b.origlen, options(&b.options))
        }
        Block::DecryptionSecrets(b) => {
            let text = &b.data[..b.secrets_len as usize];
            format!("secrets {:x} {}", b.secrets_type.0, text.escape_ascii())
        }
        _ => "other".into(),
    }
}

#[test]
fn pcap_parser_reads_every_field() {
    let mut writer = PcapngWriter::new(Vec::new(), &INTERFACES, Some("FIRST = 1\n")).unwrap();
    let stamp = 1_700_000_000_123_456_789;
    writer.packet(1, stamp, &ipv4(41), 7, false, None).unwrap();
    writer.secrets("SECOND").unwrap();
    writer.packet(0, stamp + 1, &ipv4(100), 7, true, Some("lost")).unwrap();
    let version = concat!("pyfw ", env!("CARGO_PKG_VERSION"));
    assert_eq!(
        describe_all(writer.finish().unwrap()),
        [
            &format!("section 4={version}"),
            r"interface 101 0 2=outer 9=\t",
            r"interface 101 0 2=inner 9=\t",
            r"secrets 57474b4c FIRST = 1\n",
            r"packet 1 1700000000123456789 41 41 2=\x02\x00\x00\x00 5=\x07\x00\x00\x00\x00\x00\x00\x00",
            "secrets 57474b4c SECOND",
            r"packet 0 1700000000123456790 100 100 1=lost 2=\x01\x00\x00\x00 5=\x07\x00\x00\x00\x00\x00\x00\x00",
        ]
    );
}

#[test]
fn our_reader_reads_it_back() {
    let mut writer = PcapngWriter::new(Vec::new(), &INTERFACES, None).unwrap();
    let lengths = [20, 21, 22, 23, 1420, 65_535];
    for (i, length) in (0..).zip(lengths) {
        writer.packet(i % 2, u64::MAX - u64::from(i), &ipv4(length), 0, true, None).unwrap();
    }
    writer.secrets("KEY = é").unwrap();
    let mut capture = Capture::from_reader(Cursor::new(writer.finish().unwrap())).unwrap();
    for (i, length) in (0..).zip(lengths) {
        let packet = capture.next().unwrap().unwrap();
        assert_eq!((packet.interface, packet.time_ns), (i % 2, u64::MAX - u64::from(i)));
        assert!(packet.bytes == ipv4(length) && !packet.is_truncated);
    }
    assert!(capture.next().unwrap().is_none());
    assert_eq!(capture.secrets(), ["KEY = é"]);
    assert_eq!(capture.interface_name(0), Some("outer"));
}

#[test]
fn a_long_comment_is_cut_between_characters() {
    let mut writer = PcapngWriter::new(Vec::new(), &INTERFACES, None).unwrap();
    writer.packet(0, 0, &ipv4(20), 1, true, Some(&"é".repeat(40_000))).unwrap();
    let blocks = describe_all(writer.finish().unwrap());
    let comment = blocks[3].split(' ').find_map(|word| word.strip_prefix("1=")).unwrap();
    assert_eq!(comment, r"\xc3\xa9".repeat(32_767));
}
