//! `pyfw._native`: the only crate that uses pyo3. It converts arguments, detaches from the interpreter, calls
//! the crates below and converts the results; logic that needs tests belongs into those crates.

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
#[cfg(target_os = "linux")]
mod engine_options;
#[cfg(target_os = "linux")]
mod events;
mod gso_egress;
mod keys;
mod replay;
mod replay_case;
mod replay_result;
mod report;
mod stages;
#[cfg(target_os = "linux")]
mod status;
mod timed;

/// Native code of pyfw; `_native.pyi` documents it.
#[pyo3::pymodule]
mod _native {
    #[cfg(all(target_os = "linux", feature = "bench"))]
    #[pymodule_export]
    use super::baseline::{cipher_cost, passthrough};
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
        held_frame::HeldFrame,
    };
    #[cfg(target_os = "linux")]
    #[pymodule_export]
    use super::status::{CaptureResult, Configuration, Facts, PeerStatus};

    /// The version of the distribution.
    #[pymodule_export]
    #[allow(non_upper_case_globals)]
    const __version__: &str = env!("CARGO_PKG_VERSION");

    /// The cargo profile: "release" (wheels: fat LTO), "editable" (quick to compile) or "debug".
    #[pymodule_export]
    #[allow(non_upper_case_globals)]
    const build_profile: &str = env!("PYFW_PROFILE");
}
