//! Configuration and state of a tunnel, as Python reads them.

use pyfw_core::wireguard::device;
use pyo3::{prelude::*, types::PyBytes};

use crate::{counters::PeerCounters, report::report};

report! {
    /// The tunnel's own configuration.
    Configuration {
        /// 32 bytes; None if there is none.
        private_key: Option<Py<PyBytes>>,
        /// 32 bytes; None without a private key.
        public_key: Option<Py<PyBytes>>,
        /// UDP port.
        listen_port: u16,
        /// Mark of outgoing datagrams (SO_MARK); 0 if there is none.
        fwmark: u32,
    }
}

report! {
    /// A peer: its configuration, and what passed so far.
    PeerStatus {
        /// 32 bytes.
        public_key: Py<PyBytes>,
        /// 32 bytes; None if there is none.
        preshared_key: Option<Py<PyBytes>>,
        /// "ip:port" or "[ip6]:port"; None if it is not known yet.
        endpoint: Option<String>,
        /// Interval, seconds; 0 if it is off.
        persistent_keepalive: u16,
        /// "prefix/length" each.
        allowed_ips: Vec<String>,
        /// Time of the last handshake, Unix nanoseconds; 0 if there was none.
        last_handshake_ns: u64,
        /// Bytes sent in UDP payloads.
        sent_bytes: u64,
        /// Bytes received in UDP payloads.
        received_bytes: u64,
        /// Packets to and from the peer.
        counters: Py<PeerCounters>,
    }
}

report! {
    /// Cipher, threads and offloads in use.
    Facts {
        /// Name of the transport cipher.
        cipher: &'static str,
        /// Data threads, 1 or 2.
        threads: usize,
        /// Offloads that the kernel granted to the TUN: "tso", "uso".
        tun_offloads: Vec<&'static str>,
        /// Whether datagrams are sent in GSO batches.
        udp_gso: bool,
        /// Whether datagrams are received in GRO batches.
        udp_gro: bool,
    }
}

report! {
    /// A finished capture.
    CaptureResult {
        /// Records written.
        written: u64,
        /// Records lost because 4 MiB were waiting to be written.
        lost: u64,
        /// Why the capture ended by itself; None if it was stopped.
        error: Option<String>,
    }
}

impl PeerStatus {
    pub(crate) fn new(py: Python<'_>, peer: &device::PeerStatus) -> PyResult<Self> {
        let (sent_bytes, received_bytes) = peer.activity.bytes();
        Ok(Self {
            public_key: PyBytes::new(py, &peer.public_key).unbind(),
            preshared_key: peer.preshared_key.as_ref().map(|key| PyBytes::new(py, &**key).unbind()),
            endpoint: peer.endpoint.map(|endpoint| endpoint.to_string()),
            persistent_keepalive: peer.persistent_keepalive_s,
            allowed_ips: peer.allowed_ips.iter().map(ToString::to_string).collect(),
            last_handshake_ns: peer.last_handshake_unix_ns,
            sent_bytes,
            received_bytes,
            counters: Py::new(py, PeerCounters::new(py, &peer.activity)?)?,
        })
    }
}
