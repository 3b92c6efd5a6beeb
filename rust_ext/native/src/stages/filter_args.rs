//! filter_args: turns the keyword arguments of `FrameBatch.where`, which a stage's `filter` has as well, into
//! a filter.

use std::ops::RangeInclusive;

use pyfw_core::{
    bpf::{Instruction, Program},
    stages::filter::{Field, Filter, Predicate},
    wireguard::allowed_ips::Prefix,
};
use pyo3::{
    exceptions::{PyTypeError, PyValueError},
    prelude::*,
    types::{PyBytes, PyDict, PyString},
};

use crate::convert::{prefix, value_error};

/// Numeric fields, each with its largest value.
const NUMBERS: [(&str, Field, u32); 10] = [
    ("version", Field::Version, 6),
    ("protocol", Field::Protocol, 255),
    ("src_port", Field::SourcePort, 65_535),
    ("dst_port", Field::DestinationPort, 65_535),
    ("port", Field::Port, 65_535),
    ("length", Field::Length, 65_535),
    ("segments", Field::Segments, 65_535),
    ("ecn", Field::Ecn, 3),
    ("dscp", Field::Dscp, 63),
    ("mark", Field::Mark, u32::MAX),
];

/// IANA protocol numbers by name.
const PROTOCOLS: [(&str, u32); 6] =
    [("icmp", 1), ("tcp", 6), ("udp", 17), ("icmp6", 58), ("gre", 47), ("sctp", 132)];

/// Bits of the TCP flags byte (RFC 9293 §3.1, RFC 3168), by the letters that tcpdump and scapy use.
const TCP_FLAGS: [(char, u8); 8] = [
    ('F', 0x01),
    ('S', 0x02),
    ('R', 0x04),
    ('P', 0x08),
    ('A', 0x10),
    ('U', 0x20),
    ('E', 0x40),
    ('C', 0x80),
];

/// Reads a filter. Raises TypeError for an unknown keyword, ValueError for an invalid value.
pub(super) fn filter(kwargs: &Bound<'_, PyDict>) -> PyResult<Filter> {
    let mut filter = Filter::default();
    for (name, value) in kwargs {
        let name: String = name.extract()?;
        filter.predicates.push(predicate(&name, &value)?);
    }
    Ok(filter)
}

fn predicate(name: &str, value: &Bound<'_, PyAny>) -> PyResult<Predicate> {
    if let Some(&(_, field, max)) = NUMBERS.iter().find(|(known, ..)| *known == name) {
        return Ok(Predicate::Number(field, ranges(name, value, max)?));
    }
    match name {
        "source" => Ok(Predicate::Source(networks(value)?)),
        "destination" => Ok(Predicate::Destination(networks(value)?)),
        "address" => Ok(Predicate::Address(networks(value)?)),
        "tcp_flags" => tcp_flags(&value.extract::<String>()?),
        "peer" => Ok(Predicate::Peer(items(value)?.iter().map(peer).collect::<PyResult<_>>()?)),
        "bpf" => bpf(value),
        _ => {
            let numbers = NUMBERS.iter().map(|(known, ..)| *known);
            let others = ["source", "destination", "address", "tcp_flags", "peer", "bpf"];
            let known: Vec<_> = numbers.chain(others).collect();
            let text = format!("unknown filter keyword {name:?}; known are {}", known.join(", "));
            Err(PyTypeError::new_err(text))
        }
    }
}

/// Returns the items of a collection, or the value itself.
fn items<'py>(value: &Bound<'py, PyAny>) -> PyResult<Vec<Bound<'py, PyAny>>> {
    let is_single = value.is_instance_of::<PyString>()
        || value.is_instance_of::<PyBytes>()
        || !value.hasattr("__iter__")?;
    if is_single { Ok(vec![value.clone()]) } else { value.try_iter()?.collect() }
}

fn ranges(name: &str, value: &Bound<'_, PyAny>, max: u32) -> PyResult<Vec<RangeInclusive<u32>>> {
    let items = if is_range(value)? { vec![value.clone()] } else { items(value)? };
    let ranges = items.iter().map(|item| range(name, item, max));
    let ranges: Vec<_> = ranges.collect::<PyResult<_>>()?;
    Ok(ranges.into_iter().filter(|range| !range.is_empty()).collect())
}

fn is_range(value: &Bound<'_, PyAny>) -> PyResult<bool> {
    Ok(value.get_type().name()? == "range" && value.getattr("step")?.extract::<i64>()? == 1)
}

/// Returns the numbers that one item stands for; may be empty.
fn range(name: &str, item: &Bound<'_, PyAny>, max: u32) -> PyResult<RangeInclusive<u32>> {
    let invalid = || value_error(format!("{name}: {item} is not 0 to {max}"));
    if is_range(item)? {
        let start: i64 = item.getattr("start")?.extract()?;
        let stop: i64 = item.getattr("stop")?.extract()?;
        if start >= stop {
            return Ok(RangeInclusive::new(1, 0));
        }
        return match (u32::try_from(start), u32::try_from(stop - 1)) {
            (Ok(first), Ok(last)) if last <= max => Ok(first..=last),
            _ => Err(invalid()),
        };
    }
    let number = match item.extract::<i64>() {
        Ok(number) => number,
        Err(_) if name == "protocol" && item.is_instance_of::<PyString>() => {
            let text: String = item.extract()?;
            let known = PROTOCOLS.iter().find(|(known, _)| *known == text);
            let Some((_, number)) = known else {
                let names: Vec<_> = PROTOCOLS.iter().map(|(name, _)| *name).collect();
                return Err(value_error(format!(
                    "protocol: {text:?} is neither a number nor one of {}",
                    names.join(", ")
                )));
            };
            i64::from(*number)
        }
        Err(error) => return Err(error),
    };
    match u32::try_from(number) {
        Ok(number) if number <= max => Ok(number..=number),
        _ => Err(invalid()),
    }
}

fn networks(value: &Bound<'_, PyAny>) -> PyResult<Vec<Prefix>> {
    let network = |item: &Bound<'_, PyAny>| prefix(item.str()?.to_str()?);
    items(value)?.iter().map(network).collect()
}

/// Reads "S" (S is set), or "S/SA" (of S and A exactly S is set).
fn tcp_flags(text: &str) -> PyResult<Predicate> {
    let bits = |letters: &str| -> PyResult<u8> {
        letters.chars().try_fold(0, |bits, letter| {
            let known = TCP_FLAGS.iter().find(|(known, _)| *known == letter.to_ascii_uppercase());
            known.map(|(_, bit)| bits | bit).ok_or_else(|| {
                value_error(format!("tcp_flags: {letter:?} is not one of F S R P A U E C"))
            })
        })
    };
    let (set, mask) = text.split_once('/').unwrap_or((text, text));
    let (set, mask) = (bits(set)?, bits(mask)?);
    match set & !mask {
        0 => Ok(Predicate::TcpFlags { mask, set }),
        _ => Err(value_error(format!("tcp_flags: {text:?} sets flags outside its mask"))),
    }
}

/// Reads a public key: 32 bytes, or their base64.
pub(super) fn peer(value: &Bound<'_, PyAny>) -> PyResult<[u8; 32]> {
    let invalid =
        || PyValueError::new_err("peer: invalid public key: expected 44 characters of base64");
    let bytes: Vec<u8> = if value.is_instance_of::<PyString>() {
        let decode = value.py().import("base64")?.getattr("b64decode")?;
        decode.call1((value,)).map_err(|_| invalid())?.extract()?
    } else {
        value.extract().map_err(|_| invalid())?
    };
    bytes.try_into().map_err(|_| invalid())
}

/// Compiles a BPF expression with libpcap.
fn bpf(value: &Bound<'_, PyAny>) -> PyResult<Predicate> {
    let compile = value.py().import("pyfw.stages.bpf")?.getattr("program")?;
    let code: Vec<(u16, u8, u8, u32)> = compile.call1((value,))?.extract()?;
    let instructions = code
        .into_iter()
        .map(|(code, jump_true, jump_false, k)| Instruction { code, jump_true, jump_false, k })
        .collect();
    let program = Program::new(instructions).map_err(|error| value_error(error.to_string()))?;
    Ok(Predicate::Bpf(program))
}
