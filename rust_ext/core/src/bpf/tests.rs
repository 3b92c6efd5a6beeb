use proptest::{collection::vec, prelude::*};

use super::*;

/// Output of `tcpdump -y RAW -ddd "tcp port 80"` without its first line.
const TCP_PORT_80: &str = "48 0 0 0,84 0 0 240,21 0 6 96,48 0 0 6,21 0 17 6,40 0 0 40,21 14 0 80,
    40 0 0 42,21 12 13 80,48 0 0 0,84 0 0 240,21 0 10 64,48 0 0 9,21 0 8 6,40 0 0 6,69 6 0 8191,
    177 0 0 0,72 0 0 0,21 2 0 80,72 0 0 2,21 0 1 80,6 0 0 262144,6 0 0 0";
const GREATER_1000: &str = "128 0 0 0,53 0 1 1000,6 0 0 262144,6 0 0 0";

fn instruction(code: u16, jump_true: u8, jump_false: u8, k: u32) -> Instruction {
    Instruction { code, jump_true, jump_false, k }
}

fn program(text: &str) -> Program {
    let parse = |line: &str| {
        let mut numbers = line.split_whitespace().map(|number| number.parse::<u32>().unwrap());
        let [code, yes, no, k] = std::array::from_fn(|_| numbers.next().unwrap());
        instruction(code as u16, yes as u8, no as u8, k)
    };
    Program::new(text.split(',').map(parse).collect()).unwrap()
}

/// Returns the accumulator after some instructions.
fn result(instructions: &[(u16, u32)], bytes: &[u8]) -> Option<u32> {
    let mut all: Vec<_> =
        instructions.iter().map(|&(code, k)| instruction(code, 0, 0, k)).collect();
    all.push(instruction(0x16, 0, 0, 0));
    Program::new(all).unwrap().run(bytes, bytes.len() as u32)
}

fn invalid(instructions: &[(u16, u8, u8, u32)]) -> InvalidProgram {
    let all = instructions.iter().map(|&(code, yes, no, k)| instruction(code, yes, no, k));
    Program::new(all.collect()).unwrap_err()
}

fn ipv4(header_words: u8, protocol: u8, ports: [u16; 2]) -> Vec<u8> {
    let mut packet = vec![0; usize::from(header_words) * 4];
    packet[0] = 0x40 | header_words;
    packet[9] = protocol;
    packet.extend(ports.iter().flat_map(|port| port.to_be_bytes()));
    packet.extend([0; 16]);
    packet
}

#[test]
fn a_port_is_found_behind_ipv4_headers_of_any_length() {
    let filter = program(TCP_PORT_80);
    for words in 5..=15 {
        for (ports, expected) in [([80, 9], true), ([9, 80], true), ([9, 8080], false)] {
            let packet = ipv4(words, 6, ports);
            assert_eq!(filter.matches(&packet, packet.len() as u32), expected, "{ports:?}");
        }
        assert!(!filter.matches(&ipv4(words, 17, [80, 80]), 40));
    }
}

#[test]
fn a_port_is_found_in_ipv6() {
    let mut packet = vec![0; 60];
    packet[0] = 0x60;
    packet[6] = 6;
    packet[43] = 80;
    assert!(program(TCP_PORT_80).matches(&packet, 60));
    packet[43] = 81;
    assert!(!program(TCP_PORT_80).matches(&packet, 60));
}

#[test]
fn fragments_have_no_port() {
    let mut packet = ipv4(5, 6, [80, 80]);
    packet[7] = 1;
    assert!(!program(TCP_PORT_80).matches(&packet, 40));
}

#[test]
fn a_load_beyond_the_packet_does_not_match() {
    let packet = ipv4(5, 6, [9, 80]);
    assert!(!program(TCP_PORT_80).matches(&packet[..23], 40));
    assert!(!program(TCP_PORT_80).matches(&[], 40));
}

#[test]
fn the_length_is_that_of_the_whole_packet() {
    assert!(program(GREATER_1000).matches(&[0x45], 1000));
    assert!(!program(GREATER_1000).matches(&[0; 2000], 999));
}

#[test]
fn loads_are_big_endian_and_bounded() {
    let bytes = [1, 2, 3, 4, 5];
    assert_eq!(result(&[(0x20, 1)], &bytes), Some(0x0203_0405));
    assert_eq!(result(&[(0x20, 2)], &bytes), None);
    assert_eq!(result(&[(0x28, 3)], &bytes), Some(0x0405));
    assert_eq!(result(&[(0x30, 4)], &bytes), Some(5));
    assert_eq!(result(&[(0x30, u32::MAX)], &bytes), None);
    assert_eq!(result(&[(0x01, 2), (0x50, 1)], &bytes), Some(4));
    // An index never wraps.
    assert_eq!(result(&[(0x01, u32::MAX), (0x50, 2)], &bytes), None);
    assert_eq!(result(&[(0xb1, 4), (0x87, 0)], &bytes), Some(20));
    assert_eq!(result(&[(0x81, 0), (0x87, 0)], &bytes), Some(5));
}

#[test]
fn arithmetic_wraps_and_long_shifts_give_zero() {
    let with = |code, a, b| result(&[(0x00, a), (code, b)], &[]);
    assert_eq!(with(0x04, u32::MAX, 2), Some(1));
    assert_eq!(with(0x14, 1, 2), Some(u32::MAX));
    assert_eq!(with(0x24, 1 << 31, 2), Some(0));
    assert_eq!(with(0x34, 7, 2), Some(3));
    assert_eq!(with(0x94, 7, 4), Some(3));
    assert_eq!(with(0x44, 5, 2), Some(7));
    assert_eq!(with(0x54, 6, 3), Some(2));
    assert_eq!(with(0xa4, 6, 3), Some(5));
    assert_eq!(with(0x64, 1, 31), Some(1 << 31));
    assert_eq!(with(0x64, 1, 32), Some(0));
    assert_eq!(with(0x74, 1 << 31, 31), Some(1));
    assert_eq!(with(0x74, 1 << 31, u32::MAX), Some(0));
    assert_eq!(with(0x84, 1, 0), Some(u32::MAX));
}

#[test]
fn dividing_by_an_index_of_zero_does_not_match() {
    for code in [0x3c, 0x9c] {
        assert_eq!(result(&[(0x00, 7), (code, 0)], &[]), None);
        assert_eq!(result(&[(0x01, 4), (0x00, 9), (code, 0)], &[]).map(|a| a > 0), Some(true));
    }
}

#[test]
fn both_registers_are_stored_and_loaded() {
    let steps = [(0x00, 3), (0x02, 15), (0x01, 4), (0x03, 0), (0x60, 0), (0x61, 15), (0x1c, 0)];
    assert_eq!(result(&steps, &[]), Some(1));
    assert_eq!(result(&[(0x60, 7)], &[]), Some(0));
    assert_eq!(result(&[(0x00, 9), (0x07, 0), (0x00, 1), (0x87, 0)], &[]), Some(9));
}

#[test]
fn every_test_branches_both_ways() {
    let matches = |code, k| {
        let steps = [(0x00, 0, 0, 6), (0x01, 0, 0, 6), (code, 1, 0, k), (6, 0, 0, 0), (6, 0, 0, 1)];
        let all = steps.iter().map(|&(code, yes, no, k)| instruction(code, yes, no, k)).collect();
        Program::new(all).unwrap().matches(&[], 0)
    };
    let results: Vec<_> =
        [0x15, 0x25, 0x35, 0x45].map(|code| [5, 6, 7, 8].map(|k| matches(code, k))).into();
    assert_eq!(results[0], [false, true, false, false]);
    assert_eq!(results[1], [true, false, false, false]);
    assert_eq!(results[2], [true, true, false, false]);
    assert_eq!(results[3], [true, true, true, false]);
    // These compare with the index, not with the constant.
    assert_eq!([0x1d, 0x2d, 0x3d, 0x4d].map(|code| matches(code, 0)), [true, false, true, true]);
    let jump = [(0x05, 0, 0, 1), (6, 0, 0, 0), (6, 0, 0, 1)];
    let all = jump.iter().map(|&(code, yes, no, k)| instruction(code, yes, no, k)).collect();
    assert!(Program::new(all).unwrap().matches(&[], 0));
}

#[test]
fn invalid_programs_are_rejected() {
    assert_eq!(Program::new(Vec::new()).unwrap_err(), InvalidProgram::Empty);
    let long = vec![instruction(6, 0, 0, 1); INSTRUCTIONS_MAX + 1];
    assert_eq!(Program::new(long.clone()).unwrap_err(), InvalidProgram::TooLong(4097));
    assert!(Program::new(long[1..].to_vec()).is_ok());
    assert_eq!(invalid(&[(0x00, 0, 0, 1)]), InvalidProgram::NoReturn);
    assert_eq!(invalid(&[(0x05, 0, 0, 1), (6, 0, 0, 1)]), InvalidProgram::JumpOutside { at: 0 });
    // Backward by two, as libpcap compiles "protochain".
    assert_eq!(
        invalid(&[(0x00, 0, 0, 0), (0x05, 0, 0, u32::MAX - 1), (6, 0, 0, 1)]),
        InvalidProgram::JumpOutside { at: 1 }
    );
    assert_eq!(invalid(&[(0x15, 0, 1, 0), (6, 0, 0, 1)]), InvalidProgram::JumpOutside { at: 0 });
    assert_eq!(invalid(&[(0x15, 1, 0, 0), (6, 0, 0, 1)]), InvalidProgram::JumpOutside { at: 0 });
    for code in [0x34, 0x94] {
        assert_eq!(
            invalid(&[(code, 0, 0, 0), (6, 0, 0, 1)]),
            InvalidProgram::DivisionByZero { at: 0 }
        );
    }
    for code in [0x60, 0x61, 0x02, 0x03] {
        assert_eq!(
            invalid(&[(code, 0, 0, 16), (6, 0, 0, 1)]),
            InvalidProgram::MemoryOutside { at: 0 }
        );
    }
    for code in [0x0e, 0x18, 0x38, 0x21, 0xa1, 0xa0, 0xb4, 0x55, 0x17, 0x26, 0x1_06, 0xffff] {
        assert_eq!(
            invalid(&[(code, 0, 0, 1), (6, 0, 0, 1)]),
            InvalidProgram::UnknownCode { at: 0, code }
        );
    }
}

#[test]
fn errors_name_the_instruction() {
    let error = invalid(&[(6, 0, 0, 1), (0x34, 0, 0, 0), (6, 0, 0, 1)]);
    assert_eq!(error.to_string(), "instruction 1 divides by zero");
}

/// Mostly existing codes and small operands, so that many programs are valid.
fn instructions() -> impl Strategy<Value = Vec<Instruction>> {
    let code = prop_oneof![0_u16..0x100, any::<u16>(), Just(6_u16), Just(0x50), Just(0x15)];
    let k = prop_oneof![0_u32..20, any::<u32>()];
    let one = (code, 0_u8..4, 0_u8..4, k).prop_map(|(c, yes, no, k)| instruction(c, yes, no, k));
    (vec(one, 0..24), any::<bool>()).prop_map(|(mut all, ends)| {
        all.extend(ends.then(|| instruction(0x16, 0, 0, 0)));
        all
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn no_program_or_packet_causes_a_panic(
        program in instructions(), bytes in vec(any::<u8>(), 0..96), length: u32,
    ) {
        if let Ok(program) = Program::new(program) {
            let once = program.run(&bytes, length);
            prop_assert_eq!(once, program.run(&bytes, length));
        }
    }

    #[test]
    fn programs_of_valid_codes_are_accepted(codes in vec(0..VALID_CODES.len(), 1..40), k in 1_u32..16) {
        let mut all: Vec<_> =
            codes.iter().map(|&i| instruction(VALID_CODES[i], 0, 0, k)).collect();
        all.push(instruction(0x16, 0, 0, 0));
        let program = Program::new(all);
        prop_assert!(program.is_ok());
        let _ = program.unwrap().run(&[0xff; 64], 64);
    }
}

/// All codes that neither jump nor return.
const VALID_CODES: [u16; 36] = [
    0x20, 0x28, 0x30, 0x40, 0x48, 0x50, 0x00, 0x60, 0x80, 0x01, 0x61, 0x81, 0xb1, 0x02, 0x03, 0x04,
    0x14, 0x24, 0x34, 0x44, 0x54, 0x64, 0x74, 0x94, 0xa4, 0x0c, 0x1c, 0x2c, 0x3c, 0x4c, 0x5c, 0x6c,
    0x7c, 0x84, 0x07, 0x87,
];
