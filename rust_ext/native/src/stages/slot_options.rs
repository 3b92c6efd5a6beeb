//! slot_options: the options of a stage's slot, from Python keyword arguments.

use pyfw_core::{
    stage_api::Outcome,
    stages::{
        chain::SlotOptions,
        filter::{Filter, Predicate},
        state::HoldLimit,
    },
};
use pyo3::{exceptions::PyTypeError, prelude::*, types::PyDict};

use super::filter_args;
use crate::convert::value_error;

/// Reads the keyword arguments of `StageChain.slot` and `StageSlot.replace`. Raises TypeError for an unknown
/// one, ValueError for an invalid value.
pub(super) fn slot_options(kwargs: Option<&Bound<'_, PyDict>>) -> PyResult<SlotOptions> {
    let mut options = SlotOptions {
        name: String::new(),
        directions: [true, true],
        filter: None,
        reorders: false,
        pass_on_error: false,
        hold: HoldLimit { frames: 1024, bytes: 4 << 20 },
        tick_ns: 0,
        failures: 100,
        stall_ns: Some(10_000_000_000),
        outcome: Outcome::Close,
    };
    let (mut filter, mut peers): (Option<Filter>, Option<Vec<Bound<'_, PyAny>>>) = (None, None);
    for (key, value) in kwargs.into_iter().flatten() {
        let key: String = key.extract()?;
        match key.as_str() {
            "name" => options.name = value.extract()?,
            "direction" => {
                let choices = [
                    ("both", [true, true]),
                    ("outbound", [true, false]),
                    ("inbound", [false, true]),
                ];
                options.directions = choice(&key, value.extract()?, choices)?;
            }
            "peers" if !value.is_none() => {
                peers = Some(value.try_iter()?.collect::<PyResult<Vec<_>>>()?);
            }
            "filter" if !value.is_none() => filter = Some(filter_args::filter(value.cast()?)?),
            "peers" | "filter" => {}
            "reorders" => options.reorders = value.extract()?,
            "on_error" => {
                let choices = [("drop", false), ("pass", true)];
                options.pass_on_error = choice(&key, value.extract()?, choices)?;
            }
            "tick_ms" => options.tick_ns = nanoseconds(&key, value.extract()?, 1e6)?,
            "hold_frames" => options.hold.frames = value.extract()?,
            "hold_bytes" => options.hold.bytes = value.extract()?,
            "failures" => options.failures = value.extract::<u32>()?.max(1),
            "stall_s" => {
                let limit_ns = nanoseconds(&key, value.extract()?, 1e9)?;
                options.stall_ns = Some(limit_ns).filter(|&ns| ns != 0);
            }
            "outcome" => {
                let choices = [("close", Outcome::Close), ("remove", Outcome::Remove)];
                options.outcome = choice(&key, value.extract()?, choices)?;
            }
            other => {
                return Err(PyTypeError::new_err(format!("unknown slot option {other:?}")));
            }
        }
    }
    if let Some(peers) = peers {
        let keys = peers.iter().map(filter_args::peer).collect::<PyResult<_>>()?;
        filter.get_or_insert_with(Filter::default).predicates.insert(0, Predicate::Peer(keys));
    }
    options.filter = filter;
    Ok(options)
}

fn choice<T: Copy, const N: usize>(key: &str, value: &str, choices: [(&str, T); N]) -> PyResult<T> {
    choices.iter().find(|(name, _)| *name == value).map(|(_, choice)| *choice).ok_or_else(|| {
        let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
        value_error(format!("{key} is {value:?}, must be {}", names.join(" or ")))
    })
}

fn nanoseconds(key: &str, value: f64, unit_ns: f64) -> PyResult<u64> {
    match value {
        value if (0.0..=1e9).contains(&value) => Ok((value * unit_ns) as u64),
        value => Err(value_error(format!("{key} is {value}, must be 0 or more"))),
    }
}
