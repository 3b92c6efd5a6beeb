//! The result of a replay as a dict: the document that `pyfw replay --json` writes, key by key.

use std::{collections::BTreeMap, net::IpAddr};

use pyfw_replay::{
    capture::CaptureError,
    order::{FlowCounts, FlowKey},
    outer::{OpenCounts, Reason},
    result::{NodeCounts, RunResult, SentBatch},
};
use pyo3::{
    prelude::*,
    types::{PyDict, PyList},
};

use crate::counters::named;

/// A run's result, and what the run itself does not measure.
pub(crate) struct Replayed {
    pub(crate) result: RunResult,
    pub(crate) skipped: u64,
    pub(crate) error: Option<CaptureError>,
    pub(crate) outer: Option<OpenCounts>,
    pub(crate) wall_ns: u64,
    pub(crate) cipher_ns: u64,
}

macro_rules! dict {
    ($py:expr, { $($key:literal : $value:expr),* $(,)? }) => {{
        let dict = PyDict::new($py);
        $(dict.set_item($key, $value)?;)*
        dict
    }};
}

pub(crate) fn to_dict<'py>(
    py: Python<'py>,
    replayed: &Replayed,
    names: &[String],
) -> PyResult<Bound<'py, PyDict>> {
    let result = &replayed.result;
    let mut sizes: BTreeMap<usize, u64> = BTreeMap::new();
    let (mut batch_count, mut datagram_count) = (0, 0);
    let connections = PyList::empty(py);
    for ((source, destination), connection) in &result.connections {
        batch_count += connection.batches;
        datagram_count += connection.datagrams;
        let by_size: BTreeMap<usize, u64> =
            connection.sizes.iter().copied().enumerate().filter(|(_, n)| *n != 0).collect();
        for (size, count) in &by_size {
            *sizes.entry(*size).or_default() += count;
        }
        connections.append(dict!(py, {
            "source": source.to_string(),
            "destination": destination.to_string(),
            "batches": connection.batches,
            "datagrams": connection.datagrams,
            "sizes": by_size,
        }))?;
    }
    let ends = PyDict::new(py);
    for (name, counts) in &result.nodes {
        ends.set_item(name, node(py, counts)?)?;
    }
    let flows = PyList::empty(py);
    for (id, (key, counts)) in result.flows.iter().enumerate() {
        flows.append(flow(py, id, key, counts, names)?)?;
    }
    let batches = PyList::empty(py);
    for sent in &result.batches {
        batches.append(batch(py, sent, names)?)?;
    }
    let points: Vec<_> = result
        .points
        .iter()
        .map(|p| (p.time_ns, p.flow, p.position, p.length, p.kind as u8))
        .collect();
    let fates: Vec<_> =
        result.wire_events.iter().map(|e| (e.time_ns, &names[e.node], e.number, e.kind)).collect();
    let fate_counts = PyDict::new(py);
    for ((node, kind), count) in &result.wire_event_counts {
        fate_counts.set_item(format!("{}.{kind}", names[*node]), count)?;
    }
    let error = match &replayed.error {
        Some(error) => Some(dict!(py, { "offset": error.offset, "text": error.text.clone() })),
        None => None,
    };
    let outer = match &replayed.outer {
        Some(counts) => {
            let failed: BTreeMap<_, _> = Reason::ALL
                .iter()
                .map(|r| r.name())
                .zip(counts.failed)
                .filter(|(_, n)| *n != 0)
                .collect();
            Some(dict!(py, {
                "handshakes": counts.handshakes,
                "packets": counts.packets,
                "keepalives": counts.keepalives,
                "late": counts.late,
                "failed": failed,
            }))
        }
        None => None,
    };
    Ok(dict!(py, {
        "packets": result.packets,
        "skipped": replayed.skipped,
        "unplaced": result.unplaced,
        "bytes": result.bytes,
        "duration_ns": result.duration_ns,
        "wall_ns": replayed.wall_ns,
        "cipher_ns": replayed.cipher_ns,
        "error": error,
        "outer": outer,
        "ends": ends,
        "batches": batches,
        "batch_count": batch_count,
        "batch_sizes": sizes,
        "sends_saved": datagram_count - batch_count,
        "connections": connections,
        "flows": flows,
        "points": points,
        "fates": fates,
        "fate_counts": fate_counts,
        "control_messages": result.control_messages,
        "truncated": result.is_truncated,
    }))
}

fn node<'py>(py: Python<'py>, counts: &NodeCounts) -> PyResult<Bound<'py, PyDict>> {
    let NodeCounts { outbound, inbound, datagrams, handshakes, frames } = counts;
    let counters = dict!(py, {
        "outbound": named(py, outbound.fields(), outbound.named_drops())?,
        "inbound": named(py, inbound.fields(), inbound.named_drops())?,
        "datagrams": named(py, datagrams.fields(), datagrams.named_drops())?,
        "tun": dict!(py, { "frames": frames }),
    });
    Ok(dict!(py, { "counters": counters, "handshakes": handshakes }))
}

fn flow<'py>(
    py: Python<'py>,
    id: usize,
    key: &FlowKey,
    counts: &FlowCounts,
    names: &[String],
) -> PyResult<Bound<'py, PyDict>> {
    Ok(dict!(py, {
        "id": id,
        "end": &names[key.node],
        "protocol": protocol(key.protocol),
        "source": address(key.version, &key.source, key.source_port),
        "destination": address(key.version, &key.destination, key.destination_port),
        "segments": counts.segments,
        "bytes": counts.bytes,
        "delivered": counts.delivered,
        "lost": counts.segments - counts.delivered,
        "duplicates": counts.duplicates,
        "early": counts.early,
        "late": counts.late,
        "extent": counts.extent,
        "distance": counts.distance,
        "gaps": counts.gaps,
        "spurious": counts.spurious,
        "bytes_equal": counts.unmatched == 0,
    }))
}

fn batch<'py>(py: Python<'py>, sent: &SentBatch, names: &[String]) -> PyResult<Bound<'py, PyDict>> {
    Ok(dict!(py, {
        "time_ns": sent.time_ns,
        "end": &names[sent.node],
        "source": sent.source.to_string(),
        "destination": sent.destination.to_string(),
        "ecn": sent.ecn,
        "segment_size": sent.segment_size,
        "lengths": &sent.lengths,
        "inner": &sent.inner,
        "payload": &sent.payload,
        "flows": &sent.flows,
    }))
}

fn protocol(number: u8) -> String {
    match number {
        1 => "icmp".into(),
        6 => "tcp".into(),
        17 => "udp".into(),
        47 => "gre".into(),
        50 => "esp".into(),
        58 => "icmpv6".into(),
        132 => "sctp".into(),
        other => other.to_string(),
    }
}

fn address(version: u8, bytes: &[u8; 16], port: u16) -> String {
    let ip = match version {
        4 => IpAddr::from([bytes[0], bytes[1], bytes[2], bytes[3]]),
        _ => IpAddr::from(*bytes),
    };
    match (port, ip) {
        (0, ip) => ip.to_string(),
        (port, IpAddr::V6(v6)) => format!("[{v6}]:{port}"),
        (port, v4) => format!("{v4}:{port}"),
    }
}
