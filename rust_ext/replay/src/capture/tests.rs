//! Valid and invalid captures.

mod blocks;
mod build;
mod properties;

use std::io::{Cursor, Write};

use flate2::{Compression, write::GzEncoder};

use self::build::{
    BIG, ChunkedReader, LITTLE, drain, failing, ipv4, ipv6, packets, pcap, pcap_of, read, record,
    u32s,
};
use super::*;

const RAW: u32 = 101;
const ETHERNET: u32 = 1;

#[test]
fn byte_order_and_time_unit_follow_the_magic() {
    for order in [LITTLE, BIG] {
        for (magic, fraction) in [(0xa1b2_c3d4, 250_000), (0xa1b2_3c4d, 250_000_000)] {
            let head = pcap_of(order, magic, 65_535, RAW);
            let got = packets(&[head, record(order, (7, fraction), &ipv4(60))].concat());
            assert_eq!(got[0].time_ns, 7_250_000_000);
            assert_eq!(got[0].bytes, ipv4(60));
        }
    }
}

#[test]
fn backward_times_are_returned_unchanged() {
    let times = [(9, 0), (3, 5), (u32::MAX, u32::MAX), (0, 0)];
    let records = times.map(|time| record(LITTLE, time, &ipv4(20))).concat();
    let got = packets(&[pcap(LITTLE, 0, RAW), records].concat());
    let expected = times.map(|(s, us)| u64::from(s) * 1_000_000_000 + u64::from(us) * 1000);
    assert_eq!(got.iter().map(|packet| packet.time_ns).collect::<Vec<_>>(), expected);
}

#[test]
fn every_link_header_is_removed() {
    let mut sll = vec![0; 16];
    sll[14..].copy_from_slice(&[0x08, 0x00]);
    let mut sll2 = vec![0; 20];
    sll2[..2].copy_from_slice(&[0x08, 0x00]);
    let ethernet = |types: &[u8]| [&[2; 12], types].concat();
    let cases: Vec<(u32, Vec<u8>)> = vec![
        (101, vec![]),
        (12, vec![]),
        (14, vec![]),
        (228, vec![]),
        (ETHERNET, ethernet(&[0x08, 0x00])),
        (ETHERNET, ethernet(&[0x81, 0x00, 0, 5, 0x08, 0x00])),
        (ETHERNET, ethernet(&[0x88, 0xa8, 0, 5, 0x81, 0x00, 0, 6, 0x08, 0x00])),
        (113, sll),
        (276, sll2),
        (0, vec![2, 0, 0, 0]),
        (0, vec![0, 0, 0, 2]),
        (108, vec![0, 0, 0, 2]),
        // A frame check sequence of 4 bytes is announced above the link type.
        (0x4000_0000 | ETHERNET, ethernet(&[0x08, 0x00])),
    ];
    for (link, head) in cases {
        // A frame check sequence, or padding.
        let frame = [head, ipv4(30), vec![0xee; 16]].concat();
        let got = packets(&[pcap(LITTLE, 0, link), record(LITTLE, (0, 0), &frame)].concat());
        assert_eq!(got[0].bytes, ipv4(30), "link type {link}");
        assert!(!got[0].is_truncated);
    }
    for (link, head) in [(229, vec![]), (0, vec![24, 0, 0, 0]), (108, vec![0, 0, 0, 30])] {
        let frame = [head, ipv6(50)].concat();
        let got = packets(&[pcap(LITTLE, 0, link), record(LITTLE, (0, 0), &frame)].concat());
        assert_eq!(got[0].bytes, ipv6(50), "link type {link}");
    }
}

#[test]
fn frames_that_are_not_ip_are_counted_and_numbered() {
    let ip = [&[2; 12][..], &[0x86, 0xdd], &ipv6(40)].concat();
    let arp = [&[2; 12][..], &[0x08, 0x06], &[0; 28]].concat();
    let tag_only = [&[2; 12][..], &[0x81, 0x00, 0]].concat();
    let records = [&arp[..], &ip, &[1, 2, 3], &[], &tag_only, &ip]
        .map(|frame| record(LITTLE, (0, 0), frame))
        .concat();
    let capture = [pcap(LITTLE, 0, ETHERNET), records].concat();
    let ((got, error), capture) = drain(Capture::from_reader(Cursor::new(capture)).unwrap());
    assert_eq!(error, None);
    assert_eq!(got.iter().map(|packet| packet.number).collect::<Vec<_>>(), [2, 6]);
    assert_eq!(capture.skipped(), 4);
}

#[test]
fn raw_ip_links_return_invalid_packets_too() {
    let frames = [&[][..], &[0], &[0x45, 0, 0, 9], &[0xff; 30]];
    let records = frames.map(|frame| record(LITTLE, (0, 0), frame)).concat();
    let got = packets(&[pcap(LITTLE, 0, RAW), records].concat());
    assert_eq!(got.iter().map(|packet| &packet.bytes[..]).collect::<Vec<_>>(), frames);
}

#[test]
fn only_missing_packet_bytes_count_as_truncated() {
    let truncated = |link, frame: &[u8], original| {
        let head = u32s(LITTLE, &[0, 0, frame.len() as u32, original]);
        let got = packets(&[pcap(LITTLE, 96, link), head, frame.to_vec()].concat());
        (got[0].bytes.len(), got[0].is_truncated)
    };
    assert_eq!(truncated(RAW, &ipv4(1400)[..96], 1400), (96, true));
    assert_eq!(truncated(RAW, &ipv4(96), 96), (96, false));
    // Only Ethernet padding is missing.
    let short = [&[2; 12][..], &[0x08, 0x00], &ipv4(30), &[0; 2]].concat();
    assert_eq!(truncated(ETHERNET, &short, 60), (30, false));
}

#[test]
fn a_super_packet_without_a_length_is_complete() {
    let mut frame = ipv4(3000);
    frame[2..4].fill(0);
    let got = packets(&[pcap(LITTLE, 0, RAW), record(LITTLE, (0, 0), &frame)].concat());
    assert_eq!(got[0].bytes, frame);
}

#[test]
fn a_wrong_magic_is_shown_in_the_error() {
    let (_, error) = failing(b"GET / HTTP/1.1\r\n");
    assert_eq!(error.offset, 0);
    assert!(error.text.contains("starts with 47 45 54 20"), "{error}");
    assert_eq!(failing(&[]).1.text, "the capture is empty");
    assert!(failing(&[0xa1]).1.text.contains("1 of 4 bytes"));
    let modified = pcap_of(LITTLE, 0xa1b2_cd34, 0, RAW);
    assert!(failing(&modified).1.text.contains("modified pcap"));
    assert!(failing(&pcap(LITTLE, 0, RAW)[..20]).1.text.contains("20 of 24 bytes"));
}

#[test]
fn an_unsupported_link_type_is_an_error_with_offset() {
    let (_, error) = failing(&pcap(BIG, 0, 147));
    assert_eq!(error.offset, 20);
    assert!(error.text.starts_with("link type 147 is not supported"), "{error}");
}

#[test]
fn a_truncated_capture_returns_what_is_before() {
    let records = [record(LITTLE, (1, 0), &ipv4(40)), record(LITTLE, (2, 0), &ipv4(60))];
    let capture = [pcap(LITTLE, 0, RAW), records.concat()].concat();
    for length in 24..capture.len() {
        let (got, error) = read(&capture[..length]);
        let starts = [24, 24 + records[0].len()];
        assert_eq!(got.len(), usize::from(length >= starts[1]), "{length}");
        match error {
            None => assert!(starts.contains(&length)),
            Some(error) => {
                let start = starts[usize::from(length > starts[1])] as u64;
                assert_eq!(error.offset, start, "{length}");
                assert!(error.text.starts_with("the capture ends within"), "{error}");
            }
        }
    }
}

#[test]
fn invalid_lengths_are_errors_with_the_record_offset() {
    let sound = record(LITTLE, (1, 0), &ipv4(40));
    let cases = [
        (0, [1 << 31, 1 << 31], "the maximum is 262144"),
        (0, [262_145, 262_145], "the maximum is 262144"),
        (96, [131_072, 131_072], "snap length is 96"),
        (0, [40, 39], "of a frame of 39 bytes"),
    ];
    for (snap_length, [captured, original], text) in cases {
        let invalid = u32s(LITTLE, &[0, 0, captured, original]);
        let head = pcap(LITTLE, snap_length, RAW);
        let capture = [head, sound.clone(), invalid, vec![0; 200_000]].concat();
        let (got, error) = failing(&capture);
        assert_eq!((got, error.offset), (1, 24 + sound.len() as u64));
        assert!(error.text.contains(text), "{error}");
    }
}

#[test]
fn the_longest_frames_are_read() {
    let super_packet = [&[2; 12][..], &[0x08, 0x00], &ipv4(65_535)].concat();
    let got =
        packets(&[pcap(LITTLE, 65_535, ETHERNET), record(LITTLE, (0, 0), &super_packet)].concat());
    assert_eq!(got[0].bytes.len(), 65_535);
    let jumbo = vec![0xff; 262_144];
    let got = packets(&[pcap(LITTLE, 262_144, RAW), record(LITTLE, (0, 0), &jumbo)].concat());
    assert_eq!(got[0].bytes.len(), jumbo.len());
}

#[test]
fn every_call_after_an_error_repeats_it() {
    let capture = [pcap(LITTLE, 0, RAW), vec![0; 5]].concat();
    let mut capture = Capture::from_reader(Cursor::new(capture)).unwrap();
    let first = capture.next().unwrap_err();
    assert_eq!(capture.next().unwrap_err(), first);
}

#[test]
fn gzip_may_have_several_members() {
    let plain = [pcap(LITTLE, 0, RAW), record(LITTLE, (1, 0), &ipv4(500))].concat();
    let pack = |bytes: &[u8]| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    assert_eq!(packets(&pack(&plain)), packets(&plain));
    assert_eq!(packets(&[pack(&plain[..100]), pack(&plain[100..])].concat()), packets(&plain));
    // An error's offset refers to the uncompressed bytes.
    let (_, error) = failing(&pack(&plain[..100]));
    assert_eq!(error.offset, 24);
    let packed = pack(&[&plain[..], &record(LITTLE, (2, 0), &ipv4(20))].concat());
    let (_, error) = failing(&packed[..packed.len() - 10]);
    assert!(error.offset >= 24, "{error}");
}

#[test]
fn short_reads_give_the_same_packets() {
    let records = [20, 1400, 90].map(|length| record(BIG, (1, 0), &ipv4(length))).concat();
    let whole = [pcap(BIG, 0, RAW), records].concat();
    for size in [1, 2, 3, 7, 1000] {
        let chunked = Capture::from_reader(ChunkedReader(whole.clone(), size)).unwrap();
        assert_eq!(drain(chunked).0, read(&whole));
    }
}

#[test]
fn a_file_reports_its_length_and_position() {
    let path = std::env::temp_dir().join(format!("pyfw-capture-{}.pcap", std::process::id()));
    let bytes = [pcap(LITTLE, 0, RAW), record(LITTLE, (0, 0), &ipv4(100))].concat();
    std::fs::write(&path, &bytes).unwrap();
    let capture = Capture::open(&path);
    std::fs::remove_file(&path).unwrap();
    let capture = capture.unwrap();
    assert_eq!(capture.length(), Some(bytes.len() as u64));
    let ((got, _), capture) = drain(capture);
    assert_eq!((got.len(), capture.position()), (1, bytes.len() as u64));
    let error = Capture::open(&path).err().unwrap();
    assert_eq!(error.to_string(), "byte 0: No such file or directory (os error 2)");
}

#[test]
fn memory_does_not_grow_with_the_capture() {
    /// Repeats a record up to a number of bytes.
    struct Repeated(Vec<u8>, usize, usize);
    impl io::Read for Repeated {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = buffer.len().min(self.0.len() - self.1).min(self.2);
            buffer[..count].copy_from_slice(&self.0[self.1..self.1 + count]);
            self.1 = (self.1 + count) % self.0.len();
            self.2 -= count;
            Ok(count)
        }
    }
    let head = pcap(LITTLE, 0, RAW);
    let record = record(LITTLE, (0, 0), &ipv4(1400));
    let body = Repeated(record.clone(), 0, record.len() * 20_000);
    let mut capture = Capture::from_reader(io::Read::chain(Cursor::new(head), body)).unwrap();
    let mut count = 0;
    while capture.next().unwrap().is_some() {
        count += 1;
    }
    assert_eq!(count, 20_000);
    assert_eq!(capture.stream.capacity(), 256 * 1024);
}
