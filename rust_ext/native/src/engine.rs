//! `Engine`: the native engine of one tunnel.

use std::{
    fs::File,
    io::Write,
    os::fd::{AsFd, AsRawFd, OwnedFd, RawFd},
    sync::{Mutex, MutexGuard, atomic::Ordering::Relaxed},
};

use pyfw_core::{sync, wireguard::device::PeerChange};
use pyfw_linux::{
    engine::{Engine as Native, KeyLogSink},
    sys::{clock, tun::queue_drops},
};
use pyfw_replay::outer::key_log_text;
use pyo3::{
    exceptions::PyRuntimeError,
    prelude::*,
    types::{PyBytes, PyDict},
};

use crate::{
    capture::{Capture, point},
    convert::{self, key, os_error, prefix},
    counters::{Counters, DatagramCounters, GsoCounters, InboundCounters, OutboundCounters},
    descriptors::{owned, owned_pair, set_gro, sockets},
    engine_options::{EngineArguments, OFFLOADS},
    events,
    stages::chain::StageChain,
    status::{CaptureResult, Configuration, Facts, PeerStatus},
};

/// The native threads of one tunnel.
#[pyclass(module = "pyfw._native", frozen)]
pub(crate) struct Engine {
    /// `None` once it is closed.
    native: Mutex<Option<Native>>,
    facts: Py<Facts>,
    socket_options: Mutex<SocketOptions>,
    stages: Option<Py<StageChain>>,
    capture: Mutex<Option<Capture>>,
}

/// Configuration that `wg` shows and that the device does not hold.
struct SocketOptions {
    listen_port: u16,
    fwmark: u32,
}

#[pymethods]
impl Engine {
    #[new]
    #[pyo3(signature = (
        *,
        tun_fd,
        udp_fds,
        listen_port,
        threads = 1,
        cipher = "auto",
        offloads = OFFLOADS.map(String::from).to_vec(),
        coalesce_psh = "merge",
        mtu = 1420,
        stages = None,
    ))]
    #[allow(clippy::too_many_arguments)] // keyword arguments of a constructor
    fn new(
        py: Python<'_>,
        tun_fd: RawFd,
        udp_fds: (RawFd, RawFd),
        listen_port: u16,
        threads: usize,
        cipher: &str,
        offloads: Vec<String>,
        coalesce_psh: &str,
        mtu: usize,
        stages: Option<Py<StageChain>>,
    ) -> PyResult<Self> {
        let arguments = EngineArguments {
            tun_fd,
            udp_fds,
            threads,
            cipher,
            offloads: &offloads,
            coalesce_psh,
            mtu,
            stages: stages.as_ref().map(Py::get),
        };
        let (options, facts) = arguments.open(py)?;
        let native = py.detach(|| Native::start(options))?;
        Ok(Self {
            native: Mutex::new(Some(native)),
            facts: Py::new(py, facts)?,
            socket_options: Mutex::new(SocketOptions { listen_port, fwmark: 0 }),
            stages,
            capture: Mutex::new(None),
        })
    }

    #[pyo3(signature = (private_key))]
    fn set_private_key(&self, py: Python<'_>, private_key: Option<&[u8]>) -> PyResult<()> {
        let private_key = private_key.map(key).transpose()?;
        self.with(py, |n| n.configure(|d| d.set_private_key(private_key, clock::now())))
    }

    #[pyo3(signature = (
        public_key,
        *,
        update_only = false,
        preshared_key = None,
        endpoint = None,
        persistent_keepalive = None,
        replace_allowed_ips = false,
        add_allowed_ips = vec![],
        remove_allowed_ips = vec![],
    ))]
    #[allow(clippy::too_many_arguments)] // keyword arguments of a setter
    fn set_peer(
        &self,
        py: Python<'_>,
        public_key: &[u8],
        update_only: bool,
        preshared_key: Option<&[u8]>,
        endpoint: Option<&str>,
        persistent_keepalive: Option<u16>,
        replace_allowed_ips: bool,
        add_allowed_ips: Vec<String>,
        remove_allowed_ips: Vec<String>,
    ) -> PyResult<bool> {
        let prefixes = |texts: &[String]| texts.iter().map(|t| prefix(t)).collect::<PyResult<_>>();
        let change = PeerChange {
            public_key: key(public_key)?,
            update_only,
            preshared_key: preshared_key.map(key).transpose()?,
            endpoint: endpoint.map(convert::endpoint).transpose()?,
            persistent_keepalive_s: persistent_keepalive,
            replace_allowed_ips,
            add_allowed_ips: prefixes(&add_allowed_ips)?,
            remove_allowed_ips: prefixes(&remove_allowed_ips)?,
        };
        self.with(py, |n| {
            let exists = n.configure(|d| d.set_peer(change, clock::now()));
            self.name_peers(n);
            exists
        })
    }

    fn remove_peer(&self, py: Python<'_>, public_key: &[u8]) -> PyResult<bool> {
        let public_key = key(public_key)?;
        self.with(py, |n| {
            let existed = n.configure(|d| d.remove_peer(&public_key));
            self.name_peers(n);
            existed
        })
    }

    fn remove_peers(&self, py: Python<'_>) -> PyResult<()> {
        self.with(py, |n| {
            n.configure(|d| d.remove_peers());
            self.name_peers(n);
        })
    }

    fn set_mtu(&self, py: Python<'_>, mtu: usize) -> PyResult<()> {
        self.with(py, |n| n.set_mtu(mtu))
    }

    fn set_fwmark(&self, py: Python<'_>, mark: u32) -> PyResult<()> {
        let set = self.with(py, |n| {
            let sockets = n.sockets();
            sockets.v4.set_fwmark(mark)?;
            sockets.v6.as_ref().map_or(Ok(()), |v6| v6.set_fwmark(mark))
        })?;
        set.map_err(os_error)?;
        self.socket_options().fwmark = mark;
        Ok(())
    }

    fn rebind(&self, py: Python<'_>, udp_fds: (RawFd, RawFd), listen_port: u16) -> PyResult<()> {
        let sockets = sockets(owned_pair(udp_fds)?)?;
        set_gro(&sockets, self.facts.get().udp_gro)?;
        self.with(py, |n| n.rebind(sockets))?;
        self.socket_options().listen_port = listen_port;
        Ok(())
    }

    fn configuration(&self, py: Python<'_>) -> PyResult<Configuration> {
        let (private_key, public_key) =
            self.with(py, |n| n.with_device(|d| (d.private_key(), d.public_key())))?;
        let &SocketOptions { listen_port, fwmark } = &*self.socket_options();
        Ok(Configuration {
            private_key: private_key.map(|key| PyBytes::new(py, &*key).unbind()),
            public_key: public_key.map(|key| PyBytes::new(py, &key).unbind()),
            listen_port,
            fwmark,
        })
    }

    fn peers(&self, py: Python<'_>) -> PyResult<Vec<PeerStatus>> {
        let peers = self.with(py, |n| n.with_device(|d| d.peers().collect::<Vec<_>>()))?;
        peers.iter().map(|peer| PeerStatus::new(py, peer)).collect()
    }

    fn counters(&self, py: Python<'_>) -> PyResult<Counters> {
        let (counts, handshake_drops, tun_queue_drops) = self.with(py, |n| {
            let handshake_drops = n.with_device(|d| d.counts().named_drops().collect());
            (n.counts(), handshake_drops, queue_drops(n.tun().name()))
        })?;
        let chain = self.stages.as_ref().map(Py::get).filter(|chain| chain.has_stages());
        let stages = chain.map(|chain| Py::new(py, chain.counters(py)?)).transpose()?;
        let datagrams = DatagramCounters::new(&counts.datagrams, counts.socket_drops);
        Ok(Counters {
            outbound: Py::new(py, OutboundCounters::from(&counts.outbound))?,
            inbound: Py::new(py, InboundCounters::from(&counts.inbound))?,
            datagrams: Py::new(py, datagrams)?,
            handshake_drops,
            gso: Py::new(py, GsoCounters::from(counts.gso))?,
            tun_queue_drops: tun_queue_drops.map_err(os_error)?,
            stages,
        })
    }

    fn facts(&self, py: Python<'_>) -> Py<Facts> {
        self.facts.clone_ref(py)
    }

    fn event_fd(&self, py: Python<'_>) -> PyResult<RawFd> {
        self.with(py, |n| n.events().as_fd().as_raw_fd())
    }

    fn events<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyDict>>> {
        let (events, lost) = self.with(py, |n| n.events().take())?;
        events::dictionaries(py, events, lost)
    }

    fn set_key_log(&self, py: Python<'_>, fd: Option<RawFd>) -> PyResult<()> {
        let sink = fd.map(|fd| owned(fd).map(key_log)).transpose()?;
        self.with(py, |n| n.set_key_log(sink))
    }

    #[pyo3(signature = (fd, points = vec!["tun".into(), "udp".into()], snap_length = 262_144))]
    fn start_capture(
        &self,
        py: Python<'_>,
        fd: RawFd,
        points: Vec<String>,
        snap_length: usize,
    ) -> PyResult<()> {
        let output = owned(fd)?;
        let points = points.iter().map(|name| point(name)).collect::<PyResult<Vec<_>>>()?;
        let capture =
            self.with(py, |n| Capture::start(n.capture(), &points, snap_length, output))??;
        *self.capture() = Some(capture);
        Ok(())
    }

    fn stop_capture(&self, py: Python<'_>) -> Option<CaptureResult> {
        let mut capture = self.capture().take()?;
        let progress = capture.progress();
        py.detach(|| capture.stop());
        Some(CaptureResult {
            written: progress.written.load(Relaxed),
            lost: progress.lost.load(Relaxed),
            error: progress.error(),
        })
    }

    fn ended(&self, py: Python<'_>) -> PyResult<Option<String>> {
        self.with(py, |n| n.ended().map(|(reason, _)| reason))
    }

    fn close(&self, py: Python<'_>) {
        py.detach(|| {
            drop(self.capture().take());
            let native = self.native().take();
            drop(native);
        });
    }
}

impl Drop for Engine {
    /// Closes an engine that is still open, in a thread of its own: the engine's threads may need the GIL,
    /// and the caller may be one of them.
    fn drop(&mut self) {
        let native = self.native().take();
        if let Some(native) = native {
            std::thread::spawn(move || drop(native));
        }
    }
}

impl Engine {
    /// Passes the public keys of the peers to the stages.
    fn name_peers(&self, native: &Native) {
        if let Some(stages) = &self.stages {
            let peers: Vec<_> = native
                .with_device(|d| d.peers().map(|peer| (peer.peer, peer.public_key)).collect());
            stages.get().stages().set_peers(&peers);
        }
    }

    fn native(&self) -> MutexGuard<'_, Option<Native>> {
        sync::lock(&self.native)
    }

    fn capture(&self) -> MutexGuard<'_, Option<Capture>> {
        sync::lock(&self.capture)
    }

    fn socket_options(&self) -> MutexGuard<'_, SocketOptions> {
        sync::lock(&self.socket_options)
    }

    /// Runs `body` detached: a thread that waits for one of these locks must not hold the GIL.
    fn with<T: Send>(&self, py: Python<'_>, body: impl FnOnce(&Native) -> T + Send) -> PyResult<T> {
        py.detach(|| self.native().as_ref().map(body))
            .ok_or_else(|| PyRuntimeError::new_err("the engine is closed"))
    }
}

/// Writes the secrets of each handshake at once, so that they are never behind a capture.
fn key_log(fd: OwnedFd) -> KeyLogSink {
    let mut file = File::from(fd);
    Box::new(move |secrets| file.write_all(key_log_text(secrets).as_bytes()))
}
