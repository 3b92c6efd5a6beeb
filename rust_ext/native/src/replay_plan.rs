//! A plan as Python writes it (see `replay` in `_native.pyi`) to the plan of a run.

use std::net::SocketAddr;

use pyfw_core::inbound::coalesce::CoalesceOptions;
use pyfw_replay::plan::{
    DrainPlan, Frames, Impairment, NodePlan, Plan, Rule, TimelineAction, TimelineEvent,
};
use pyo3::{prelude::*, types::PyDict};

use crate::{
    convert::{prefix, socket_address, value_error},
    stages::chain::StageChain,
};

/// A dict whose keys are asked for by name, with a value where one is missing.
struct Table<'d, 'py>(&'d Bound<'py, PyDict>);

impl<'py> Table<'_, 'py> {
    fn get<T>(&self, key: &str, default: T) -> PyResult<T>
    where
        T: for<'a> FromPyObject<'a, 'py>,
    {
        match self.0.get_item(key)? {
            Some(value) if !value.is_none() => value
                .extract()
                .map_err(|_| value_error(format!("plan: {key:?} has a wrong type: {value}"))),
            _ => Ok(default),
        }
    }

    fn dict(&self, key: &str) -> PyResult<Bound<'py, PyDict>> {
        match self.0.get_item(key)? {
            Some(value) if !value.is_none() => Ok(value.cast_into()?),
            _ => Ok(PyDict::new(self.0.py())),
        }
    }
}

pub(crate) fn plan(dict: &Bound<'_, PyDict>) -> PyResult<Plan> {
    let table = Table(dict);
    let impairments = table.dict("impairment")?;
    let stages = table.dict("stages")?;
    let ends = table
        .get::<Vec<Bound<'_, PyDict>>>("ends", Vec::new())?
        .iter()
        .map(|end| end_plan(&Table(end), &Table(&impairments), &stages))
        .collect::<PyResult<Vec<_>>>()?;
    if ends.len() < 2 {
        return Err(value_error(format!("plan: {} ends, must be 2 or more", ends.len())));
    }
    let (drain, coalesce) = (table.dict("drain")?, table.dict("coalesce")?);
    let (drain, coalesce) = (Table(&drain), Table(&coalesce));
    let max_segments: usize = table.get("max_segments", 64)?;
    if !(1..=128).contains(&max_segments) {
        return Err(value_error(format!("plan: max_segments is {max_segments}, must be 1 to 128")));
    }
    let happenings = table
        .get::<Vec<Bound<'_, PyDict>>>("events", Vec::new())?
        .iter()
        .map(|event| happening(&Table(event), &ends))
        .collect::<PyResult<Vec<_>>>()?;
    let tcp = coalesce.get("tcp", true)?;
    Ok(Plan {
        mtu: table.get("mtu", 1420)?,
        frames: match table.get("frames", "captured".to_owned())?.as_str() {
            "captured" => Frames::Captured,
            "tso" => Frames::Tso,
            other => return Err(value_error(format!("plan: frames {other:?}: captured or tso"))),
        },
        drain: DrainPlan {
            window_ns: (drain.get("window_us", 100.0)? * 1e3) as u64,
            frames: drain.get("frames", 128)?,
            bytes: drain.get("bytes", 256 << 10)?,
        },
        rule: rule(&table.get("rule", "ordered".to_owned())?)?,
        max_segments,
        coalesce: CoalesceOptions {
            tcp4: tcp,
            tcp6: tcp,
            udp: coalesce.get("udp", true)?,
            psh_closes: coalesce.get("psh", "merge".to_owned())? == "close",
        },
        handshake_before: table.get("handshake", "before".to_owned())? == "before",
        seed: table.get("seed", 1)?,
        start_unix_ns: table.get("start_unix_ns", 1_700_000_000_000_000_000)?,
        happenings,
        keep: table.get("keep", 10_000)?,
        ends,
    })
}

fn end_plan(
    table: &Table<'_, '_>,
    impairments: &Table<'_, '_>,
    stages: &Bound<'_, PyDict>,
) -> PyResult<NodePlan> {
    let name: String = table.get("name", String::new())?;
    let addresses: Vec<String> = table.get("addresses", Vec::new())?;
    let dict = impairments.dict(&name)?;
    let chain = stages.get_item(&name)?.map(|chain| chain.cast_into::<StageChain>()).transpose()?;
    Ok(NodePlan {
        stages: chain.map(|chain| chain.get().stages()),
        endpoint: socket_address(&table.get("endpoint", String::new())?)?,
        addresses: addresses.iter().map(|text| prefix(text)).collect::<PyResult<_>>()?,
        impairment: impairment(&Table(&dict))?,
        name,
    })
}

fn impairment(table: &Table<'_, '_>) -> PyResult<Impairment> {
    let number = |key: &str| table.get(key, 0.0_f64);
    let fraction = |key: &str| match number(key)? {
        value if (0.0..=1.0).contains(&value) => Ok(value),
        value => Err(value_error(format!("plan: {key} is {value}, must be 0 to 1"))),
    };
    let milliseconds = |key: &str| Ok::<u64, PyErr>((number(key)? * 1e6) as u64);
    Ok(Impairment {
        loss: fraction("loss")?,
        loss_burst: number("loss_burst")?,
        delay_ns: milliseconds("delay_ms")?,
        jitter_ns: milliseconds("jitter_ms")?,
        reorder: fraction("reorder")?,
        reorder_ns: milliseconds("reorder_ms")?,
        duplicate: fraction("duplicate")?,
        corrupt: fraction("corrupt")?,
        ce: fraction("ce")?,
        mtu: table.get("mtu", 0)?,
        rate_bps: (number("rate_mbit")? * 1e6) as u64,
        queue_ns: milliseconds("queue_ms")?,
    })
}

fn rule(name: &str) -> PyResult<Rule> {
    match name {
        "ordered" => Ok(Rule::Ordered),
        "by-size" => Ok(Rule::BySize),
        "by-ecn" => Ok(Rule::ByEcn),
        "unbatched" => Ok(Rule::Unbatched),
        other => Err(value_error(format!(
            "plan: no rule {other:?}: ordered, by-size, by-ecn or unbatched"
        ))),
    }
}

fn happening(table: &Table<'_, '_>, ends: &[NodePlan]) -> PyResult<TimelineEvent> {
    let name: String = table.get("end", String::new())?;
    let end = ends.iter().position(|end| end.name == name).ok_or_else(|| {
        value_error(format!("plan: an event names the end {name:?}, which is none"))
    })?;
    let what = match table.get("do", String::new())?.as_str() {
        "roam" => TimelineAction::Roam(roaming(&table.get("to", String::new())?, &ends[end])?),
        "rekey" => TimelineAction::Rekey,
        "replay" => TimelineAction::Replay,
        "forge" => TimelineAction::Forge,
        other => {
            return Err(value_error(format!(
                "plan: no event {other:?}: roam, rekey, replay or forge"
            )));
        }
    };
    Ok(TimelineEvent { at_ns: (table.get("at_s", 0.0)? * 1e9) as u64, end, what })
}

/// Where an end roams to: an address of its own family, as the hub's is.
fn roaming(text: &str, end: &NodePlan) -> PyResult<SocketAddr> {
    let to = socket_address(text)?;
    if to.is_ipv4() == end.endpoint.is_ipv4() {
        return Ok(to);
    }
    let (name, from) = (&end.name, end.endpoint);
    Err(value_error(format!("plan: {name} cannot roam from {from} to {to}: another IP version")))
}
