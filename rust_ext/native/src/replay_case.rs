//! Reads a case (`pyfw.replay.case.Case`), attribute by attribute, and turns it into the plan of a run.

use std::{collections::HashMap, net::SocketAddr};

use pyfw_core::inbound::coalesce::CoalesceOptions;
use pyfw_replay::plan::{
    self, DrainLimits, Frames, NodePlan, Plan, Rule, TimelineAction, TimelineEvent,
};
use pyo3::prelude::*;

use crate::{
    convert::{prefix, socket_address, value_error},
    stages::chain::StageChain,
};

/// Stage chains by name of an end.
pub(crate) type Chains<'py> = HashMap<String, Bound<'py, StageChain>>;

#[derive(FromPyObject)]
pub(crate) struct Case {
    pub(crate) capture: String,
    pub(crate) kind: String,
    ends: Vec<End>,
    mtu: usize,
    handshake: String,
    frames: String,
    rule: String,
    max_segments: usize,
    seed: u64,
    keep: usize,
    drain: Drain,
    coalesce: Coalesce,
    impairment: HashMap<String, Impairment>,
    events: Vec<Event>,
}

#[derive(FromPyObject)]
struct End {
    name: String,
    endpoint: String,
    addresses: Vec<String>,
}

#[derive(FromPyObject)]
struct Drain {
    window_us: u64,
    frames: usize,
    bytes: usize,
}

#[derive(FromPyObject)]
struct Coalesce {
    tcp: bool,
    udp: bool,
    psh: String,
}

#[derive(FromPyObject)]
struct Impairment {
    loss: f64,
    loss_burst: f64,
    delay_ms: f64,
    jitter_ms: f64,
    reorder: f64,
    reorder_ms: f64,
    duplicate: f64,
    corrupt: f64,
    ce: f64,
    mtu: usize,
    rate_mbit: f64,
    queue_ms: f64,
}

#[derive(FromPyObject)]
struct Event {
    at_s: f64,
    #[pyo3(attribute("do"))]
    action: String,
    end: String,
    to: String,
}

impl Case {
    pub(crate) fn plan(&self, chains: &Chains<'_>) -> PyResult<Plan> {
        if self.ends.len() < 2 {
            let count = self.ends.len();
            return Err(value_error(format!("case: {count} ends; expected 2 or more")));
        }
        if !(1..=128).contains(&self.max_segments) {
            let count = self.max_segments;
            return Err(value_error(format!("case: max_segments is {count}; expected 1 to 128")));
        }
        let nodes =
            self.ends.iter().map(|end| self.node(end, chains)).collect::<PyResult<Vec<_>>>()?;
        let timeline =
            self.events.iter().map(|event| event.plan(&nodes)).collect::<PyResult<_>>()?;
        Ok(Plan {
            nodes,
            mtu: self.mtu,
            frames: match self.frames.as_str() {
                "captured" => Frames::Captured,
                "tso" => Frames::Tso,
                other => return Err(unexpected("frames", other, "captured or tso")),
            },
            drain: DrainLimits {
                window_ns: self.drain.window_us.saturating_mul(1000),
                frames: self.drain.frames,
                bytes: self.drain.bytes,
            },
            rule: match self.rule.as_str() {
                "ordered" => Rule::Ordered,
                "by-size" => Rule::BySize,
                "by-ecn" => Rule::ByEcn,
                "unbatched" => Rule::Unbatched,
                other => {
                    return Err(unexpected("rule", other, "ordered, by-size, by-ecn or unbatched"));
                }
            },
            max_segments: self.max_segments,
            coalesce: CoalesceOptions {
                tcp4: self.coalesce.tcp,
                tcp6: self.coalesce.tcp,
                udp: self.coalesce.udp,
                psh_closes: self.coalesce.psh == "close",
            },
            handshake_before: self.handshake == "before",
            seed: self.seed,
            timeline,
            keep: self.keep,
        })
    }

    fn node(&self, end: &End, chains: &Chains<'_>) -> PyResult<NodePlan> {
        // "" is the impairment of every end without its own.
        let impairment = self.impairment.get(&end.name).or_else(|| self.impairment.get(""));
        Ok(NodePlan {
            name: end.name.clone(),
            endpoint: socket_address(&end.endpoint)?,
            addresses: end.addresses.iter().map(|text| prefix(text)).collect::<PyResult<_>>()?,
            impairment: impairment.map(Impairment::plan).transpose()?.unwrap_or_default(),
            stages: chains.get(&end.name).map(|chain| chain.get().stages()),
        })
    }
}

impl Impairment {
    fn plan(&self) -> PyResult<plan::Impairment> {
        let fraction = |name: &str, value: f64| match value {
            value if (0.0..=1.0).contains(&value) => Ok(value),
            value => Err(value_error(format!("case: {name} is {value}; expected 0 to 1"))),
        };
        let milliseconds = |value: f64| (value * 1e6) as u64;
        Ok(plan::Impairment {
            loss: fraction("loss", self.loss)?,
            loss_burst: self.loss_burst,
            delay_ns: milliseconds(self.delay_ms),
            jitter_ns: milliseconds(self.jitter_ms),
            reorder: fraction("reorder", self.reorder)?,
            reorder_ns: milliseconds(self.reorder_ms),
            duplicate: fraction("duplicate", self.duplicate)?,
            corrupt: fraction("corrupt", self.corrupt)?,
            ce: fraction("ce", self.ce)?,
            mtu: self.mtu,
            rate_bps: (self.rate_mbit * 1e6) as u64,
            queue_ns: milliseconds(self.queue_ms),
        })
    }
}

impl Event {
    fn plan(&self, nodes: &[NodePlan]) -> PyResult<TimelineEvent> {
        let index = nodes.iter().position(|node| node.name == self.end).ok_or_else(|| {
            let names = nodes.iter().map(|node| node.name.as_str()).collect::<Vec<_>>().join(", ");
            value_error(format!("events: no end is named {:?}; the ends are {names}", self.end))
        })?;
        let action = match self.action.as_str() {
            "roam" => TimelineAction::Roam(roaming_address(&self.to, &nodes[index])?),
            "rekey" => TimelineAction::Rekey,
            "replay" => TimelineAction::Replay,
            "forge" => TimelineAction::Forge,
            other => return Err(unexpected("do", other, "roam, rekey, replay or forge")),
        };
        Ok(TimelineEvent { at_ns: (self.at_s * 1e9) as u64, node: index, action })
    }
}

/// Parses the address that a node roams to, which must be of the hub's IP version.
fn roaming_address(text: &str, node: &NodePlan) -> PyResult<SocketAddr> {
    let to = socket_address(text)?;
    if to.is_ipv4() == node.endpoint.is_ipv4() {
        return Ok(to);
    }
    let (name, from) = (&node.name, node.endpoint);
    Err(value_error(format!(
        "events: {name} cannot roam from {from} to {to}; expected an address of the same IP version"
    )))
}

pub(crate) fn unexpected(name: &str, value: &str, expected: &str) -> PyErr {
    value_error(format!("case: {name} is {value:?}; expected {expected}"))
}
