//! The device's events as the engine's: names and fields for a log line.

use pyfw_core::{
    time::MILLISECOND_NS,
    wireguard::device::{Event, Severity as CoreSeverity},
};

use super::events::{EngineEvent, Severity, Value};
use crate::sys::clock;

/// `None` for what is never logged: secrets go to a file of their own.
pub(crate) fn engine_event(event: &Event) -> Option<EngineEvent> {
    let text = |value: &dyn ToString| Value::Text(value.to_string());
    let fields = match event {
        Event::HandshakeStarted { public_key, .. }
        | Event::Unanswered { public_key, .. }
        | Event::CookieReceived { public_key, .. }
        | Event::KeysErased { public_key, .. } => vec![peer(public_key)],
        Event::HandshakeRetried { public_key, attempt, .. } => {
            vec![peer(public_key), ("attempt", Value::Number(i64::from(*attempt)))]
        }
        Event::HandshakeCompleted { public_key, role, took_ns, .. } => vec![
            peer(public_key),
            ("role", text(&role.name())),
            ("took_ms", Value::Number((took_ns / MILLISECOND_NS) as i64)),
        ],
        Event::HandshakeGaveUp { public_key, attempts, .. } => {
            vec![peer(public_key), ("attempts", Value::Number(i64::from(*attempts)))]
        }
        Event::EndpointMoved { public_key, endpoint, was, .. } => {
            let mut fields = vec![peer(public_key), ("endpoint", text(endpoint))];
            fields.extend(was.map(|was| ("was", text(&was))));
            fields
        }
        Event::UnderLoad { queued } => vec![("queued", Value::Number(*queued as i64))],
        Event::KeyLog(_) => return None,
    };
    Some(EngineEvent {
        time_ns: clock::unix_ns(),
        severity: match event.severity() {
            CoreSeverity::Debug => Severity::Debug,
            CoreSeverity::Info => Severity::Info,
            CoreSeverity::Warning => Severity::Warning,
        },
        message: event.name(),
        fields,
    })
}

fn peer(public_key: &[u8; 32]) -> (&'static str, Value) {
    ("peer", Value::Bytes(public_key.to_vec()))
}
