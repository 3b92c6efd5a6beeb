//! Events of native threads, for Python to log.
//!
//! The queue is bounded: beyond 1,024 events the newest are dropped, and [`Events::take`] returns their
//! number.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    sync::Mutex,
};

use pyfw_core::{
    sync,
    time::MILLISECOND_NS,
    wireguard::device::{Event as DeviceEvent, Severity as DeviceSeverity},
};

use crate::sys::{clock, epoll::EventFd};

/// Queued events at most.
const CAPACITY: usize = 1024;

/// The severity of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// For diagnosis.
    Debug,
    /// A normal event.
    Info,
    /// The tunnel continues with something degraded.
    Warning,
    /// Something ended.
    Error,
}

/// The value of a field.
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
    /// Its severity.
    pub severity: Severity,
    /// Its name, as `object.event`.
    pub message: &'static str,
    /// Its fields, in the order in which they are logged.
    pub fields: Vec<(&'static str, Value)>,
}

impl EngineEvent {
    /// Converts an event of the device; `None` for secrets, which go to the key log and to no other.
    pub(crate) fn from_device(event: &DeviceEvent) -> Option<Self> {
        let text = |value: &dyn ToString| Value::Text(value.to_string());
        let fields = match event {
            DeviceEvent::HandshakeStarted { public_key, .. }
            | DeviceEvent::Unanswered { public_key, .. }
            | DeviceEvent::CookieReceived { public_key, .. }
            | DeviceEvent::KeysErased { public_key, .. } => vec![peer(public_key)],
            DeviceEvent::HandshakeRetried { public_key, attempt, .. } => {
                vec![peer(public_key), ("attempt", Value::Number(i64::from(*attempt)))]
            }
            DeviceEvent::HandshakeCompleted { public_key, role, took_ns, .. } => vec![
                peer(public_key),
                ("role", text(&role.name())),
                ("took_ms", Value::Number((took_ns / MILLISECOND_NS) as i64)),
            ],
            DeviceEvent::HandshakeGaveUp { public_key, attempts, .. } => {
                vec![peer(public_key), ("attempts", Value::Number(i64::from(*attempts)))]
            }
            DeviceEvent::EndpointMoved { public_key, endpoint, was, .. } => {
                let mut fields = vec![peer(public_key), ("endpoint", text(endpoint))];
                fields.extend(was.map(|was| ("was", text(&was))));
                fields
            }
            DeviceEvent::UnderLoad { queued } => vec![("queued", Value::Number(*queued as i64))],
            DeviceEvent::KeyLog(_) => return None,
        };
        Some(Self {
            time_ns: clock::unix_ns(),
            severity: match event.severity() {
                DeviceSeverity::Debug => Severity::Debug,
                DeviceSeverity::Info => Severity::Info,
                DeviceSeverity::Warning => Severity::Warning,
            },
            message: event.name(),
            fields,
        })
    }
}

fn peer(public_key: &[u8; 32]) -> (&'static str, Value) {
    ("peer", Value::Bytes(public_key.to_vec()))
}

/// The queue of events.
pub struct Events {
    queue: Mutex<Queue>,
    wake: EventFd,
}

#[derive(Default)]
struct Queue {
    events: Vec<EngineEvent>,
    lost: i64,
}

impl Events {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { queue: Mutex::default(), wake: EventFd::new()? })
    }

    pub(crate) fn post(&self, event: EngineEvent) {
        let mut queue = sync::lock(&self.queue);
        if queue.events.len() == CAPACITY {
            queue.lost += 1;
            return;
        }
        queue.events.push(event);
        if queue.events.len() == 1 {
            self.wake.signal();
        }
    }

    /// Takes all queued events, and the number of events lost since the last call.
    pub fn take(&self) -> (Vec<EngineEvent>, i64) {
        self.wake.clear();
        let queue = std::mem::take(&mut *sync::lock(&self.queue));
        (queue.events, queue.lost)
    }
}

impl AsFd for Events {
    /// Readable while events are queued.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}
