//! Random captures: compared with pcap-parser, truncated and damaged.

use std::io::Cursor;

use pcap_parser::{
    Block, PcapBlockOwned, PcapError, PcapNGReader, traits::PcapNGPacketBlock,
    traits::PcapReaderIterator,
};
use proptest::prelude::*;

use super::{
    super::record::ByteOrder,
    build::{BIG, LITTLE, block, interface, option, packet, pcap, read, record, section},
};

const RAW: u16 = 101;

fn orders() -> impl Strategy<Value = ByteOrder> {
    prop_oneof![Just(LITTLE), Just(BIG)]
}

/// Frames whose first byte is no IP version, so that no IP length shortens them.
fn frames() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let frame = prop::collection::vec(any::<u8>(), 0..200).prop_map(|mut frame| {
        if let Some(first) = frame.first_mut() {
            *first |= 0xf0;
        }
        frame
    });
    prop::collection::vec(frame, 0..12)
}

/// Returns a capture with other blocks between its packets.
fn pcapng(order: ByteOrder, frames: &[Vec<u8>]) -> Vec<u8> {
    let mut capture = section(order);
    capture.extend(interface(order, RAW, 0, &option(order, 9, &[9])));
    for (stamp, frame) in (1 << 33..).zip(frames) {
        if stamp % 3 == 0 {
            capture.extend(block(order, 5, &[0; 12]));
        }
        capture.extend(packet(order, 0, stamp, frame));
    }
    capture
}

/// Returns the time stamps and frames that pcap-parser reads.
fn read_by_pcap_parser(capture: &[u8]) -> Vec<(u64, Vec<u8>)> {
    let mut packets = Vec::new();
    let mut reader = PcapNGReader::new(65_536, Cursor::new(capture.to_vec())).unwrap();
    loop {
        match reader.next() {
            Ok((consumed, block)) => {
                if let PcapBlockOwned::NG(Block::EnhancedPacket(packet)) = block {
                    let stamp = u64::from(packet.ts_high) << 32 | u64::from(packet.ts_low);
                    packets.push((stamp, packet.packet_data().to_vec()));
                }
                reader.consume(consumed);
            }
            Err(PcapError::Incomplete(_)) => reader.refill().unwrap(),
            Err(PcapError::Eof) => return packets,
            Err(error) => panic!("{error:?}"),
        }
    }
}

proptest! {
    #[test]
    fn pcap_parser_reads_the_same(order in orders(), frames in frames()) {
        let capture = pcapng(order, &frames);
        let (got, error) = read(&capture);
        prop_assert_eq!(error, None);
        let got: Vec<_> = got.into_iter().map(|p| (p.time_ns, p.bytes)).collect();
        prop_assert_eq!(got, read_by_pcap_parser(&capture));
    }

    #[test]
    fn a_truncated_capture_returns_what_is_before(
        order in orders(), is_pcapng: bool, frames in frames(), part in 0.0..1.0f64,
    ) {
        let whole = if is_pcapng {
            pcapng(order, &frames)
        } else {
            let records: Vec<_> =
                frames.iter().map(|frame| record(order, (1, 2), frame)).collect();
            [pcap(order, 0, u32::from(RAW)), records.concat()].concat()
        };
        let length = (whole.len() as f64 * part) as usize;
        let (all, error) = read(&whole);
        prop_assert_eq!(error, None);
        let (got, error) = read(&whole[..length]);
        prop_assert!(all.starts_with(&got));
        match error {
            Some(error) => prop_assert!(error.offset <= length as u64),
            // A record ends here: one byte more starts a truncated one.
            None if length < whole.len() => prop_assert!(read(&whole[..=length]).1.is_some()),
            None => prop_assert_eq!(got, all),
        }
    }

    #[test]
    fn a_damaged_capture_returns_what_is_before(
        order in orders(),
        frames in frames(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let sound = pcapng(order, &frames);
        let mut capture = sound.clone();
        for (at, byte) in &damage {
            capture[at.index(sound.len())] ^= byte | 1;
        }
        let Some(first) = sound.iter().zip(&capture).position(|(a, b)| a != b) else {
            return Ok(());
        };
        let (all, (got, error)) = (read(&sound).0, read(&capture));
        // Blocks that end before the damage are intact.
        let untouched = read(&sound[..first]).0.len();
        prop_assert!(got.len() >= untouched);
        prop_assert_eq!(&got[..untouched], &all[..untouched]);
        if let Some(error) = error {
            prop_assert!(error.offset <= capture.len() as u64);
            prop_assert!(!error.text.is_empty());
        }
    }

    #[test]
    fn arbitrary_bytes_do_not_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..300), magic in 0..4usize,
    ) {
        let heads: [&[u8]; 4] = [
            &[],
            &[0xd4, 0xc3, 0xb2, 0xa1, 2, 0],
            &[0x0a, 0x0d, 0x0d, 0x0a, 28, 0, 0, 0, 0x4d, 0x3c, 0x2b, 0x1a, 1, 0],
            &[0x1f, 0x8b, 8, 0],
        ];
        let capture = [heads[magic], &bytes].concat();
        let (got, error) = read(&capture);
        prop_assert!(got.is_empty() || magic > 0);
        if let Some(error) = error {
            prop_assert!(error.offset <= 1 << 20, "{}", error);
        }
    }
}
