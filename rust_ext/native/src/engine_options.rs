//! Keyword arguments of `Engine` to the options of a native engine.

use std::os::fd::RawFd;

use pyfw_core::{aead::Aead, inbound::coalesce::CoalesceOptions};
use pyfw_linux::{
    engine::Options,
    sys::{tun::Tun, udp},
};
use pyo3::prelude::*;

#[cfg(feature = "bench")]
use crate::baseline;
use crate::{
    convert::value_error,
    descriptors::{granted_offloads, owned, owned_pair, set_gro, sockets, tun_offloads},
    stages::chain::StageChain,
    status::Facts,
};

pub(crate) const OFFLOADS: [&str; 4] = ["udp_gso", "udp_gro", "tso", "uso"];

/// The arguments, as `_native.pyi` has them.
pub(crate) struct EngineArguments<'a> {
    pub(crate) tun_fd: RawFd,
    pub(crate) udp_fds: (RawFd, RawFd),
    pub(crate) threads: usize,
    pub(crate) cipher: &'a str,
    pub(crate) offloads: &'a [String],
    pub(crate) coalesce_psh: &'a str,
    pub(crate) mtu: usize,
    pub(crate) stages: Option<&'a StageChain>,
}

impl EngineArguments<'_> {
    /// Checks the arguments, prepares the descriptors, and returns with the options what is in use.
    pub(crate) fn open(self, py: Python<'_>) -> PyResult<(Options, Facts)> {
        // Before anything else, so that an error below closes them.
        let (tun_fd, udp_fds) = (owned(self.tun_fd)?, owned_pair(self.udp_fds)?);
        let threads = self.threads;
        if !(1..=2).contains(&threads) {
            return Err(value_error(format!("threads is {threads}, must be 1 or 2")));
        }
        let psh_closes = match self.coalesce_psh {
            "merge" => false,
            "close" => true,
            other => {
                let text = format!("coalesce_psh is {other:?}, must be \"merge\" or \"close\"");
                return Err(value_error(text));
            }
        };
        let (udp, on_tun): (Vec<_>, Vec<_>) =
            self.offloads.iter().map(String::as_str).partition(|name| name.starts_with("udp_"));
        if let Some(unknown) = udp.iter().find(|name| !OFFLOADS.contains(name)) {
            let known = OFFLOADS.join(", ");
            return Err(value_error(format!("unknown offload {unknown:?}; known: {known}")));
        }
        let requested = tun_offloads(&on_tun)?;
        let ciphers = ciphers(py, self.cipher)?;
        let cipher = ciphers[0].name();
        let tun = Tun::attach(tun_fd, requested)?;
        let sockets = sockets(udp_fds)?;
        let granted = tun.granted();
        let coalesce = CoalesceOptions {
            tcp4: granted.tso4,
            tcp6: granted.tso6,
            udp: granted.uso4 && granted.uso6,
            psh_closes,
        };
        let udp_gso = udp.contains(&"udp_gso") && udp::gso_is_sound();
        let udp_gro = udp.contains(&"udp_gro");
        set_gro(&sockets, udp_gro)?;
        let tun_offloads = granted_offloads(&tun);
        let facts = Facts { cipher, threads, tun_offloads, udp_gso, udp_gro };
        let stages = self.stages.map(StageChain::stages);
        let mtu = self.mtu;
        Ok((Options { tun, sockets, threads, ciphers, udp_gso, coalesce, mtu, stages }, facts))
    }
}

/// Opens the cipher of this name for each path.
#[cfg_attr(not(feature = "bench"), expect(unused_variables, reason = "`py` is for a warning"))]
fn ciphers(py: Python<'_>, name: &str) -> PyResult<[Box<dyn Aead>; 2]> {
    #[cfg(feature = "bench")]
    if name == baseline::NO_CIPHER {
        return baseline::without_cipher(py);
    }
    let open = || pyfw_aead::open(name).map_err(|error| value_error(error.to_string()));
    Ok([open()?, open()?])
}
