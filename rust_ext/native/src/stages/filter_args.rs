//! The filter of `where` and `filter` become a filter.

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

/// IANA's numbers for the names that are taken.
const PROTOCOLS: [(&str, u32); 6] =
    [("icmp", 1), ("tcp", 6), ("udp", 17), ("icmp6", 58), ("gre", 47), ("sctp", 132)];

/// Bits of the TCP flags byte (RFC 9293 §3.1, RFC 3168), by the letter that tcpdump and scapy use.
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

/// Reads the filter. Raises TypeError for one that is not known, ValueError for what it cannot be.
pub(super) fn filter(given: &Bound<'_, PyDict>) -> PyResult<Filter> {
    let mut filter = Filter::default();
    for (name, value) in given {
        let name: String = name.extract()?;
        filter.predicates.push(predicate(&name, &value)?);
    }
    Ok(filter)
}

fn predicate(name: &str, value: &Bound<'_, PyAny>) -> PyResult<Predicate> {
    if let Some(&(_, field, most)) = NUMBERS.iter().find(|(known, ..)| *known == name) {
        return Ok(Predicate::Number(field, ranges(name, value, most)?));
    }
    match name {
        "source" => Ok(Predicate::Source(networks(value)?)),
        "destination" => Ok(Predicate::Destination(networks(value)?)),
        "address" => Ok(Predicate::Address(networks(value)?)),
        "tcp_flags" => tcp_flags(&value.extract::<String>()?),
        "peer" => Ok(Predicate::Peer(each(value)?.iter().map(peer).collect::<PyResult<_>>()?)),
        "bpf" => bpf(value),
        _ => {
            let numbers = NUMBERS.iter().map(|(known, ..)| *known);
            let others = ["source", "destination", "address", "tcp_flags", "peer", "bpf"];
            let known: Vec<_> = numbers.chain(others).collect();
            let text = format!("where() knows no {name:?}; it knows {}", known.join(", "));
            Err(PyTypeError::new_err(text))
        }
    }
}

/// One item, or those of a collection.
fn each<'py>(value: &Bound<'py, PyAny>) -> PyResult<Vec<Bound<'py, PyAny>>> {
    let is_one = value.is_instance_of::<PyString>()
        || value.is_instance_of::<PyBytes>()
        || !value.hasattr("__iter__")?;
    if is_one { Ok(vec![value.clone()]) } else { value.try_iter()?.collect() }
}

fn ranges(name: &str, value: &Bound<'_, PyAny>, most: u32) -> PyResult<Vec<RangeInclusive<u32>>> {
    // A range is one item, also among others.
    let items = if is_range(value)? { vec![value.clone()] } else { each(value)? };
    let spans: Vec<_> = items.iter().map(|item| span(name, item, most)).collect::<PyResult<_>>()?;
    Ok(spans.into_iter().filter(|span| !span.is_empty()).collect())
}

fn is_range(value: &Bound<'_, PyAny>) -> PyResult<bool> {
    Ok(value.get_type().name()? == "range" && value.getattr("step")?.extract::<i64>()? == 1)
}

/// The numbers of one item; it may be empty.
fn span(name: &str, item: &Bound<'_, PyAny>, most: u32) -> PyResult<RangeInclusive<u32>> {
    let wrong = || value_error(format!("{name}: {item} is not 0 to {most}"));
    if is_range(item)? {
        let start: i64 = item.getattr("start")?.extract()?;
        let stop: i64 = item.getattr("stop")?.extract()?;
        if start >= stop {
            return Ok(RangeInclusive::new(1, 0));
        }
        return match (u32::try_from(start), u32::try_from(stop - 1)) {
            (Ok(first), Ok(last)) if last <= most => Ok(first..=last),
            _ => Err(wrong()),
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
                    "protocol: {text:?} is not a number, nor one of {}",
                    names.join(", ")
                )));
            };
            i64::from(*number)
        }
        Err(error) => return Err(error),
    };
    match u32::try_from(number) {
        Ok(number) if number <= most => Ok(number..=number),
        _ => Err(wrong()),
    }
}

fn networks(value: &Bound<'_, PyAny>) -> PyResult<Vec<Prefix>> {
    let one = |item: &Bound<'_, PyAny>| prefix(item.str()?.to_str()?);
    each(value)?.iter().map(one).collect()
}

/// "S": set, whatever the others; "S/SA": of those behind the stroke, just these.
fn tcp_flags(text: &str) -> PyResult<Predicate> {
    let bits = |letters: &str| -> PyResult<u8> {
        letters.chars().try_fold(0, |bits, letter| {
            let known = TCP_FLAGS.iter().find(|(known, _)| *known == letter.to_ascii_uppercase());
            known.map(|(_, bit)| bits | bit).ok_or_else(|| {
                value_error(format!("tcp_flags: {letter:?} is none of F S R P A U E C"))
            })
        })
    };
    let (set, mask) = text.split_once('/').unwrap_or((text, text));
    let (set, mask) = (bits(set)?, bits(mask)?);
    match set & !mask {
        0 => Ok(Predicate::TcpFlags(mask, set)),
        _ => {
            Err(value_error(format!("tcp_flags: {text:?} asks for flags that it does not look at")))
        }
    }
}

/// 32 bytes, or their base64.
pub(super) fn peer(value: &Bound<'_, PyAny>) -> PyResult<[u8; 32]> {
    let wrong = || PyValueError::new_err("peer: not a public key (44 characters of base64)");
    let bytes: Vec<u8> = if value.is_instance_of::<PyString>() {
        let decode = value.py().import("base64")?.getattr("b64decode")?;
        decode.call1((value,)).map_err(|_| wrong())?.extract()?
    } else {
        value.extract().map_err(|_| wrong())?
    };
    bytes.try_into().map_err(|_| wrong())
}

/// An expression, compiled by libpcap.
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
