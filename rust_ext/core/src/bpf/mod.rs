//! bpf: runs classic BPF packet filters, as libpcap compiles them from tcpdump expressions.
//!
//! Packets begin with their IP header (LINKTYPE_RAW). A load beyond the packet does not match (McCanne and
//! Jacobson, "The BSD Packet Filter", 1993). A program is validated when it is created: jumps lead forward
//! only, so a run takes at most one step per instruction.

mod instruction;
#[cfg(test)]
mod tests;

use instruction::{Answer, Operand, Operation, Step, Test, Width};
pub use instruction::{Instruction, InvalidProgram};

/// Words of scratch memory (BPF_MEMWORDS in the kernel's linux/filter.h and in libpcap).
const MEMORY_WORDS: usize = 16;
/// Longest program (BPF_MAXINSNS in the kernel's linux/bpf_common.h); bounds the cost per packet.
pub const INSTRUCTIONS_MAX: usize = 4096;

/// A validated program: it cannot leave its bounds and always terminates.
#[derive(Clone, Debug)]
pub struct Program {
    steps: Box<[Step]>,
}

impl Program {
    /// Validates a program, as bpf_validate of libpcap and bpf_check_classic of the kernel do, and rejects
    /// backward jumps.
    pub fn new(instructions: Vec<Instruction>) -> Result<Self, InvalidProgram> {
        instruction::decode(&instructions).map(|steps| Self { steps })
    }

    /// Whether the program accepts a packet. `wire_length` is its whole length, of which `bytes` may be the
    /// first part.
    pub fn matches(&self, bytes: &[u8], wire_length: u32) -> bool {
        self.run(bytes, wire_length).is_some_and(|accepted| accepted != 0)
    }

    /// Returns the number of bytes that the program accepts. `None` if it loads beyond the packet or divides
    /// by an index of 0.
    fn run(&self, bytes: &[u8], wire_length: u32) -> Option<u32> {
        let mut machine = Machine { bytes, a: 0, x: 0, memory: [0; MEMORY_WORDS] };
        let mut next = 0;
        loop {
            let step = self.steps.get(next)?;
            next += 1;
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
                Step::Jump(target) => next = target,
                Step::Branch { test, operand, then, otherwise } => {
                    let passes = passes(test, machine.a, machine.value(operand));
                    next = if passes { then } else { otherwise };
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
        // A shift by 32 or more gives 0, as in libpcap.
        Operation::ShiftLeft => a.checked_shl(b).unwrap_or(0),
        Operation::ShiftRight => a.checked_shr(b).unwrap_or(0),
    })
}

fn passes(test: Test, a: u32, b: u32) -> bool {
    match test {
        Test::Equal => a == b,
        Test::Greater => a > b,
        Test::GreaterOrEqual => a >= b,
        Test::AnyBit => a & b != 0,
    }
}
