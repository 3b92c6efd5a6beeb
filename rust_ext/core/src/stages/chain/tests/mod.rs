mod conservation;
mod failures;
mod removal;
mod verdicts;
mod watch;

use std::sync::{Arc, Mutex};

use super::*;
use crate::{
    buffer::{Buffer, STAGE_ROOM},
    frame::Frame,
    packet::{build::Build, parse},
    stages::state::{HeldFrame, HoldLimit, Place},
};

const MTU: usize = 1420;

/// These tests need no interpreter, and their clock stands still.
struct NoInterpreter;

impl Runtime for NoInterpreter {
    fn attach(&self, body: &mut dyn FnMut()) -> u64 {
        body();
        0
    }

    fn detach(&self, body: &mut dyn FnMut()) {
        body();
    }

    fn now_ns(&self) -> u64 {
        1
    }
}

type Body = Box<dyn FnMut(&mut Call) -> Result<(), Failure> + Send>;

/// A stage that runs a closure.
struct Closure(Body);

impl StageHandler for Closure {
    fn process(&mut self, mut call: Call) -> (Call, Result<(), Failure>) {
        let result = (self.0)(&mut call);
        (call, result)
    }

    fn tick(&mut self, _: u64) -> Result<(), Failure> {
        Ok(())
    }
}

fn options(name: &str) -> SlotOptions {
    SlotOptions {
        name: name.into(),
        directions: [true, true],
        filter: None,
        reorders: false,
        pass_on_error: false,
        hold: HoldLimit { frames: 1024, bytes: 4 << 20 },
        tick_ns: 0,
        failures: 100,
        stall_ns: None,
        outcome: Outcome::Remove,
    }
}

type Stage = (SlotOptions, Body);

fn chain(stages: Vec<Stage>) -> Chain {
    let chain = Chain::new(Box::new(NoInterpreter));
    let slots =
        stages.into_iter().map(|(options, body)| chain.slot(options, Box::new(Closure(body))));
    chain.set(slots.collect());
    chain
}

/// Returns a chain of one stage.
fn chain_of(
    options: SlotOptions,
    body: impl FnMut(&mut Call) -> Result<(), Failure> + Send + 'static,
) -> Chain {
    chain(vec![(options, Box::new(body))])
}

fn stage_batch(packets: &[Vec<u8>]) -> StageBatch {
    let mut stage_batch = StageBatch { buffer: Buffer::new(STAGE_ROOM), ..StageBatch::default() };
    for packet in packets {
        let offset = stage_batch.buffer.append(packet).unwrap();
        let frame = parse(packet, offset).unwrap();
        stage_batch.batch.frames.push(Frame { peer: 0, ..frame });
    }
    stage_batch
}

/// Returns a TCP packet with that sequence number.
fn packet(sequence: u32) -> Vec<u8> {
    Build { sequence, ..Build::tcp4() }.payload(8).bytes()
}

fn packets(count: u32) -> Vec<Vec<u8>> {
    (0..count).map(packet).collect()
}

/// Returns the sequence numbers of a batch.
fn sequence(stage_batch: &StageBatch) -> Vec<u32> {
    let of = |frame: &Frame| {
        u32::from_be_bytes(frame.bytes(&stage_batch.buffer)[24..28].try_into().unwrap())
    };
    stage_batch.batch.frames.iter().map(of).collect()
}

fn fails() -> Result<(), Failure> {
    Err(Failure(Box::new(|| "no".into())))
}

fn hold(call: &mut Call, row: usize) -> HeldFrame {
    let Call { stage_batch, verdicts, number, handle, .. } = call;
    let (frame, bytes) =
        verdicts.hold(row, &stage_batch.buffer, &stage_batch.batch.slices).unwrap();
    let place = Place { call: *number, row: row as u32, position: verdicts.position(row) };
    handle.state().hold(verdicts.direction(), frame, bytes, 1, place)
}

fn emit(call: &Call, held: HeldFrame, direction: Direction) {
    call.handle.emit(&mut Some(held), direction).unwrap();
}
