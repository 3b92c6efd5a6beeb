//! `pyfw._native`: the only crate that names pyo3. It converts, detaches, calls, converts back;
//! what is worth testing lives in the crates below.

#[cfg(all(target_os = "linux", feature = "bench"))]
mod baseline;
#[cfg(target_os = "linux")]
mod capture;
mod convert;
mod counters;
#[cfg(target_os = "linux")]
mod descriptors;
#[cfg(target_os = "linux")]
mod engine;
mod gso_egress;
mod keys;
mod replay;
mod replay_plan;
mod replay_result;
mod report;
mod stages;
#[cfg(target_os = "linux")]
mod status;
mod timed;

/// Native code of pyfw; types in `_native.pyi`.
#[pyo3::pymodule]
mod _native {
    #[cfg(all(target_os = "linux", feature = "bench"))]
    #[pymodule_export]
    use super::baseline::{cipher_cost, forward_bare};
    #[pymodule_export]
    use super::counters::{
        ChainCounters, Counters, DatagramCounters, GsoCounters, InboundCounters, OutboundCounters,
        PeerCounters, StageCounters,
    };
    #[cfg(target_os = "linux")]
    #[pymodule_export]
    use super::descriptors::{attach_tun, open_tun, open_udp};
    #[cfg(target_os = "linux")]
    #[pymodule_export]
    use super::engine::Engine;
    #[pymodule_export]
    use super::gso_egress::{GsoBatch, GsoEgress};
    #[pymodule_export]
    use super::keys::{ciphers, generate_preshared_key, generate_private_key, public_key};
    #[pymodule_export]
    use super::replay::replay;
    #[pymodule_export]
    use super::stages::{
        batch::FrameBatch,
        chain::{StageChain, StageSlot},
        frame::Frame,
        held::HeldFrame,
    };
    #[cfg(target_os = "linux")]
    #[pymodule_export]
    use super::status::{CaptureResult, Configuration, Facts, PeerStatus};

    /// The distribution's version.
    #[pymodule_export]
    #[allow(non_upper_case_globals)]
    const __version__: &str = env!("CARGO_PKG_VERSION");

    /// "release" (wheels: fat LTO), "editable" (quick to compile) or "debug", which benchmarks refuse.
    #[pymodule_export]
    #[allow(non_upper_case_globals)]
    const build_profile: &str = env!("PYFW_PROFILE");
}
