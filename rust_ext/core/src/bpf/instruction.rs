//! Decodes classic BPF instructions (FreeBSD's bpf(4); the kernel's Documentation/networking/filter.rst) into
//! steps that need no checks at run time.

use std::fmt;

use super::{INSTRUCTIONS_MAX, MEMORY_WORDS};

/// One instruction: struct bpf_insn of libpcap, struct sock_filter of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// Class, size, mode, operation and source.
    pub code: u16,
    /// Instructions to skip if the test passes (jt).
    pub jump_true: u8,
    /// Instructions to skip if it does not (jf).
    pub jump_false: u8,
    /// The operand.
    pub k: u32,
}

/// Why a program is rejected. `at` is the index of the instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidProgram {
    /// The program has no instructions.
    Empty,
    /// The program has more than [`INSTRUCTIONS_MAX`] instructions.
    TooLong(usize),
    /// The code does not exist in classic BPF.
    UnknownCode {
        /// Index of the instruction.
        at: usize,
        /// The code.
        code: u16,
    },
    /// A jump leads out of the program. Offsets are unsigned, so a backward jump, as libpcap compiles for
    /// "protochain", leads beyond the end.
    JumpOutside {
        /// Index of the instruction.
        at: usize,
    },
    /// A division by a constant zero.
    DivisionByZero {
        /// Index of the instruction.
        at: usize,
    },
    /// The instruction uses scratch memory beyond its 16 words.
    MemoryOutside {
        /// Index of the instruction.
        at: usize,
    },
    /// The last instruction does not return.
    NoReturn,
}

impl fmt::Display for InvalidProgram {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Empty => write!(to, "the program has no instructions"),
            Self::TooLong(count) => {
                write!(to, "the program has {count} instructions, the limit is {INSTRUCTIONS_MAX}")
            }
            Self::UnknownCode { at, code } => {
                write!(to, "instruction {at} has the unknown code {code:#06x}")
            }
            Self::JumpOutside { at } => {
                write!(to, "instruction {at} jumps backward or out of the program")
            }
            Self::DivisionByZero { at } => write!(to, "instruction {at} divides by zero"),
            Self::MemoryOutside { at } => {
                write!(to, "instruction {at} uses scratch memory beyond {MEMORY_WORDS} words")
            }
            Self::NoReturn => write!(to, "the last instruction does not return"),
        }
    }
}

impl std::error::Error for InvalidProgram {}

/// One step of a validated program. A is the accumulator, the index is register X.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    LoadAbsolute(Width, u32),
    LoadIndirect(Width, u32),
    LoadConstant(u32),
    LoadMemory(usize),
    LoadLength,
    IndexConstant(u32),
    IndexMemory(usize),
    IndexLength,
    /// Four times the low half of a byte: the length of an IPv4 header.
    IndexHeader(u32),
    Store(usize),
    StoreIndex(usize),
    Arithmetic(Operation, Operand),
    Negate,
    IndexFromA,
    AFromIndex,
    Jump(usize),
    Branch {
        test: Test,
        operand: Operand,
        then: usize,
        otherwise: usize,
    },
    Return(Answer),
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Width {
    Word,
    Half,
    Byte,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Operand {
    Constant(u32),
    Index,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Operation {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    Or,
    And,
    Xor,
    ShiftLeft,
    ShiftRight,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Test {
    Equal,
    Greater,
    GreaterOrEqual,
    AnyBit,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Answer {
    Constant(u32),
    A,
}

/// Decodes a program, up to the first error.
pub(super) fn decode(program: &[Instruction]) -> Result<Box<[Step]>, InvalidProgram> {
    if program.len() > INSTRUCTIONS_MAX {
        return Err(InvalidProgram::TooLong(program.len()));
    }
    let steps = program
        .iter()
        .enumerate()
        .map(|(at, instruction)| step(instruction, at, program.len()))
        .collect::<Result<Box<[_]>, _>>()?;
    match steps.last() {
        None => Err(InvalidProgram::Empty),
        Some(Step::Return(_)) => Ok(steps),
        Some(_) => Err(InvalidProgram::NoReturn),
    }
}

fn step(instruction: &Instruction, at: usize, length: usize) -> Result<Step, InvalidProgram> {
    let Instruction { code, jump_true, jump_false, k } = *instruction;
    let unknown = InvalidProgram::UnknownCode { at, code };
    let class = code & 0x07;
    let (size, mode) = (code & 0x18, code & 0xe0);
    let operation = code & 0xf0;
    let operand = if code & 0x08 != 0 { Operand::Index } else { Operand::Constant(k) };
    if code > 0xff {
        return Err(unknown);
    }
    let word = || match k as usize {
        word if word < MEMORY_WORDS => Ok(word),
        _ => Err(InvalidProgram::MemoryOutside { at }),
    };
    let target = |skip: u32| match (at + 1).checked_add(skip as usize) {
        Some(target) if target < length => Ok(target),
        _ => Err(InvalidProgram::JumpOutside { at }),
    };
    Ok(match class {
        LD => match (mode, size) {
            (ABS | IND, _) => {
                let width = match size {
                    0x00 => Width::Word,
                    0x08 => Width::Half,
                    0x10 => Width::Byte,
                    _ => return Err(unknown),
                };
                let load = if mode == ABS { Step::LoadAbsolute } else { Step::LoadIndirect };
                load(width, k)
            }
            (IMM, 0) => Step::LoadConstant(k),
            (MEM, 0) => Step::LoadMemory(word()?),
            (LEN, 0) => Step::LoadLength,
            _ => return Err(unknown),
        },
        LDX => match (mode, size) {
            (IMM, 0) => Step::IndexConstant(k),
            (MEM, 0) => Step::IndexMemory(word()?),
            (LEN, 0) => Step::IndexLength,
            (MSH, 0x10) => Step::IndexHeader(k),
            _ => return Err(unknown),
        },
        ST if code == ST => Step::Store(word()?),
        STX if code == STX => Step::StoreIndex(word()?),
        ALU if code == ALU | 0x80 => Step::Negate,
        ALU => {
            let operation = arithmetic(operation).ok_or(unknown)?;
            let divides = matches!(operation, Operation::Divide | Operation::Remainder);
            if divides && matches!(operand, Operand::Constant(0)) {
                return Err(InvalidProgram::DivisionByZero { at });
            }
            Step::Arithmetic(operation, operand)
        }
        JMP if code == JMP => Step::Jump(target(k)?),
        JMP => Step::Branch {
            test: test(operation).ok_or(unknown)?,
            operand,
            then: target(jump_true.into())?,
            otherwise: target(jump_false.into())?,
        },
        RET if code == RET => Step::Return(Answer::Constant(k)),
        RET if code == RET | 0x10 => Step::Return(Answer::A),
        MISC if code == MISC => Step::IndexFromA,
        MISC if code == MISC | 0x80 => Step::AFromIndex,
        _ => return Err(unknown),
    })
}

fn arithmetic(operation: u16) -> Option<Operation> {
    Some(match operation {
        0x00 => Operation::Add,
        0x10 => Operation::Subtract,
        0x20 => Operation::Multiply,
        0x30 => Operation::Divide,
        0x40 => Operation::Or,
        0x50 => Operation::And,
        0x60 => Operation::ShiftLeft,
        0x70 => Operation::ShiftRight,
        0x90 => Operation::Remainder,
        0xa0 => Operation::Xor,
        _ => return None,
    })
}

fn test(operation: u16) -> Option<Test> {
    Some(match operation {
        0x10 => Test::Equal,
        0x20 => Test::Greater,
        0x30 => Test::GreaterOrEqual,
        0x40 => Test::AnyBit,
        _ => return None,
    })
}

/// Classes and modes (linux/bpf_common.h).
const LD: u16 = 0x00;
const LDX: u16 = 0x01;
const ST: u16 = 0x02;
const STX: u16 = 0x03;
const ALU: u16 = 0x04;
const JMP: u16 = 0x05;
const RET: u16 = 0x06;
const MISC: u16 = 0x07;
const IMM: u16 = 0x00;
const ABS: u16 = 0x20;
const IND: u16 = 0x40;
const MEM: u16 = 0x60;
const LEN: u16 = 0x80;
const MSH: u16 = 0xa0;
