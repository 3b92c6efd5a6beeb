//! bpf: a packet filter of classic BPF, as libpcap compiles it from what tcpdump takes.
//!
//! In: a program, checked when it is made, and the bytes of one packet from its IP header on
//! (LINKTYPE_RAW). Out: whether the packet matches. A load beyond the bytes does not match, as in
//! the BSD paper (McCanne and Jacobson, 1993). Jumps lead forward only, so that every run ends: it
//! takes at most one step for each instruction.

mod instruction;
#[cfg(test)]
mod tests;

use instruction::{Answer, Operand, Operation, Step, Test, Width};
pub use instruction::{Instruction, Invalid};

/// Words of scratch memory (BPF_MEMWORDS of the kernel's linux/filter.h and of libpcap).
const MEMORY_WORDS: usize = 16;
/// BPF_MAXINSNS of the kernel's linux/bpf_common.h: what bounds the cost of one packet.
pub const INSTRUCTIONS_MAX: usize = 4096;

/// A program that was found to be sound: it can neither leave its bounds nor run for ever.
#[derive(Clone, Debug)]
pub struct Program {
    steps: Box<[Step]>,
}

impl Program {
    /// Checks a program, as bpf_validate of libpcap and bpf_check_classic of the kernel do, and
    /// further that no jump leads back.
    pub fn new(instructions: Vec<Instruction>) -> Result<Self, Invalid> {
        instruction::decode(&instructions).map(|steps| Self { steps })
    }

    /// Whether it accepts a packet: `bytes` are what there is of it, `wire_length` what it had.
    pub fn matches(&self, bytes: &[u8], wire_length: u32) -> bool {
        self.run(bytes, wire_length).is_some_and(|taken| taken != 0)
    }

    /// How many bytes of the packet it takes; `None` where it looks beyond the end, or divides by
    /// an index that is 0.
    fn run(&self, bytes: &[u8], wire_length: u32) -> Option<u32> {
        let mut machine = Machine { bytes, a: 0, x: 0, memory: [0; MEMORY_WORDS] };
        let mut at = 0;
        loop {
            let step = self.steps.get(at)?;
            at += 1;
            match *step {
                Step::LoadAbsolute(width, offset) => machine.a = machine.load(width, offset)?,
                Step::LoadIndirect(width, offset) => {
                    machine.a = machine.load(width, machine.x.checked_add(offset)?)?;
                }
                Step::LoadConstant(value) => machine.a = value,
                Step::LoadMemory(word) => machine.a = machine.memory[word],
                Step::LoadLength => machine.a = wire_length,
                Step::IndexConstant(value) => machine.x = value,
                Step::IndexMemory(word) => machine.x = machine.memory[word],
                Step::IndexLength => machine.x = wire_length,
                Step::IndexHeader(offset) => {
                    machine.x = 4 * (machine.load(Width::Byte, offset)? & 0x0f);
                }
                Step::Store(word) => machine.memory[word] = machine.a,
                Step::StoreIndex(word) => machine.memory[word] = machine.x,
                Step::Arithmetic(operation, operand) => {
                    machine.a = compute(operation, machine.a, machine.value(operand))?;
                }
                Step::Negate => machine.a = machine.a.wrapping_neg(),
                Step::IndexFromA => machine.x = machine.a,
                Step::AFromIndex => machine.a = machine.x,
                Step::Jump(target) => at = target,
                Step::Branch { test, operand, yes, no } => {
                    at = if holds(test, machine.a, machine.value(operand)) { yes } else { no };
                }
                Step::Return(Answer::Constant(value)) => return Some(value),
                Step::Return(Answer::A) => return Some(machine.a),
            }
        }
    }
}

struct Machine<'b> {
    bytes: &'b [u8],
    a: u32,
    x: u32,
    memory: [u32; MEMORY_WORDS],
}

impl Machine<'_> {
    fn load(&self, width: Width, offset: u32) -> Option<u32> {
        let rest = self.bytes.get(offset as usize..)?;
        Some(match width {
            Width::Word => u32::from_be_bytes(*rest.first_chunk()?),
            Width::Half => u32::from(u16::from_be_bytes(*rest.first_chunk()?)),
            Width::Byte => u32::from(*rest.first()?),
        })
    }

    fn value(&self, operand: Operand) -> u32 {
        match operand {
            Operand::Constant(value) => value,
            Operand::Index => self.x,
        }
    }
}

fn compute(operation: Operation, a: u32, b: u32) -> Option<u32> {
    Some(match operation {
        Operation::Add => a.wrapping_add(b),
        Operation::Subtract => a.wrapping_sub(b),
        Operation::Multiply => a.wrapping_mul(b),
        Operation::Divide => a.checked_div(b)?,
        Operation::Remainder => a.checked_rem(b)?,
        Operation::Or => a | b,
        Operation::And => a & b,
        Operation::Xor => a ^ b,
        // A shift by 32 or more leaves nothing, as in libpcap.
        Operation::ShiftLeft => a.checked_shl(b).unwrap_or(0),
        Operation::ShiftRight => a.checked_shr(b).unwrap_or(0),
    })
}

fn holds(test: Test, a: u32, b: u32) -> bool {
    match test {
        Test::Equal => a == b,
        Test::Greater => a > b,
        Test::GreaterOrEqual => a >= b,
        Test::AnyBit => a & b != 0,
    }
}
