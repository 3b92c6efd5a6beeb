//! What native threads have to say, for Python to log: bounded, and never in anybody's way.
//!
//! In: events from any native thread. Out: all of them at once, to whoever was woken by the
//! descriptor. Drops: the newest, where 1,024 wait; how many is said in the next event taken.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    sync::Mutex,
};

use pyfw_core::sync;

use crate::sys::epoll::EventFd;

/// Events that wait at most.
const CAPACITY: usize = 1024;

/// How much an event matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Of use when looking for something.
    Debug,
    /// Worth a line.
    Info,
    /// The tunnel goes on with less than it was told to use.
    Warning,
    /// Something ended.
    Error,
}

/// The value of an event's field.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A number.
    Number(i64),
    /// Text.
    Text(String),
    /// A public key or other bytes, shown in base64.
    Bytes(Vec<u8>),
}

/// One event.
#[derive(Clone, Debug, PartialEq)]
pub struct EngineEvent {
    /// Unix nanoseconds.
    pub time_ns: u64,
    /// How much it matters.
    pub severity: Severity,
    /// What happened, as `noun.verb`.
    pub message: &'static str,
    /// What goes with it.
    pub fields: Vec<(&'static str, Value)>,
}

/// The waiting events.
pub struct Events {
    waiting: Mutex<Waiting>,
    wake: EventFd,
}

#[derive(Default)]
struct Waiting {
    events: Vec<EngineEvent>,
    lost: i64,
}

impl Events {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { waiting: Mutex::default(), wake: EventFd::new()? })
    }

    /// Leaves one event.
    pub(crate) fn post(&self, event: EngineEvent) {
        let mut waiting = sync::lock(&self.waiting);
        if waiting.events.len() == CAPACITY {
            waiting.lost += 1;
            return;
        }
        waiting.events.push(event);
        if waiting.events.len() == 1 {
            self.wake.signal();
        }
    }

    /// Takes what waits, and how many were lost since the last call.
    pub fn take(&self) -> (Vec<EngineEvent>, i64) {
        self.wake.clear();
        let waiting = std::mem::take(&mut *sync::lock(&self.waiting));
        (waiting.events, waiting.lost)
    }
}

impl AsFd for Events {
    /// Readable while something waits.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}
