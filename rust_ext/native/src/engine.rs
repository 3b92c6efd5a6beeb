//! The engine as Python sees it.

use std::{
    fs::File,
    io::Write,
    net::SocketAddr,
    os::fd::{AsFd, AsRawFd, OwnedFd, RawFd},
    sync::{Mutex, MutexGuard, atomic::Ordering::Relaxed},
};

use pyfw_core::{inbound::coalesce::CoalesceOptions, sync, wireguard::device::PeerChange};
use pyfw_linux::{
    engine::{
        Engine as Native, KeyLogSink, Options,
        capture::Point,
        events::{Severity, Value},
    },
    sys::{
        clock, socket_address,
        tun::{self, Tun},
    },
};
use pyfw_replay::outer::key_log_text;
use pyo3::{
    exceptions::{PyRuntimeError, PyRuntimeWarning, PyValueError},
    prelude::*,
    types::{PyBytes, PyDict, PyList},
};

use crate::{
    capture::Capture,
    convert::{key, os_error, prefix, value_error},
    counters::{Counters, DatagramCounters, GsoCounters, InboundCounters, OutboundCounters},
    descriptors::{granted_names, owned, owned_pair, sockets, tun_offloads},
    stages::chain::StageChain,
    status::{CaptureResult, Configuration, Facts, PeerStatus},
};

const OFFLOADS: [&str; 4] = ["udp_gso", "udp_gro", "tso", "uso"];

/// The native threads of one tunnel.
#[pyclass(module = "pyfw._native", frozen)]
pub(crate) struct Engine {
    native: Mutex<Option<Native>>,
    /// What the kernel and the operator agreed on, for `facts`.
    facts: Py<Facts>,
    state: Mutex<Outside>,
    stages: Option<Py<StageChain>>,
    capture: Mutex<Option<Capture>>,
}

/// What wg shows and the device does not know.
struct Outside {
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
        without_cipher = false,
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
        without_cipher: bool,
    ) -> PyResult<Self> {
        // First of all they are ours, so that an error below closes them.
        let (tun_fd, udp_fds) = (owned(tun_fd)?, owned_pair(udp_fds)?);
        if !(1..=2).contains(&threads) {
            return Err(value_error(format!("threads is {threads}, must be 1 or 2")));
        }
        let psh_closes = match coalesce_psh {
            "merge" => false,
            "close" => true,
            other => {
                return Err(value_error(format!("coalesce_psh is {other:?}: merge or close")));
            }
        };
        let (udp, on_tun): (Vec<_>, Vec<_>) =
            offloads.into_iter().partition(|name| name.starts_with("udp_"));
        if let Some(unknown) = udp.iter().find(|name| !OFFLOADS.contains(&name.as_str())) {
            return Err(value_error(format!("{unknown:?} is no offload: {}", OFFLOADS.join(", "))));
        }
        let wanted = tun_offloads(&on_tun)?;
        let open = || pyfw_aead::open(cipher).map_err(|e| PyValueError::new_err(e.to_string()));
        let ciphers = if without_cipher {
            let words = c"without_cipher: nothing that this engine carries is secret or authentic";
            PyErr::warn(py, &py.get_type::<PyRuntimeWarning>(), words, 1)?;
            [pyfw_aead::without_cipher(), pyfw_aead::without_cipher()]
        } else {
            [open()?, open()?]
        };
        let name = ciphers[0].name();
        let tun = Tun::attach(tun_fd, wanted)?;
        let sockets = sockets(udp_fds)?;
        let granted = tun.granted();
        let coalesce = CoalesceOptions {
            tcp4: granted.tso4,
            tcp6: granted.tso6,
            udp: granted.uso4 && granted.uso6,
            psh_closes,
        };
        let udp_gso = udp.iter().any(|n| n == "udp_gso") && pyfw_linux::sys::udp::gso_is_sound();
        let udp_gro = udp.iter().any(|n| n == "udp_gro");
        for socket in [Some(&sockets.v4), sockets.v6.as_ref()].into_iter().flatten() {
            socket.set_gro(udp_gro)?;
        }
        let tun_offloads = granted_names(&tun);
        let facts = Facts { cipher: name, threads, tun_offloads, udp_gso, udp_gro };
        let options = Options {
            tun,
            sockets,
            threads,
            ciphers,
            udp_gso,
            coalesce,
            mtu,
            stages: stages.as_ref().map(|chain| chain.get().stages()),
        };
        let native = py.detach(|| Native::start(options))?;
        Ok(Self {
            native: Mutex::new(Some(native)),
            facts: Py::new(py, facts)?,
            state: Mutex::new(Outside { listen_port, fwmark: 0 }),
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
            endpoint: endpoint.map(endpoint_address).transpose()?,
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
        self.outside().fwmark = mark;
        Ok(())
    }

    fn rebind(&self, py: Python<'_>, udp_fds: (RawFd, RawFd), listen_port: u16) -> PyResult<()> {
        let sockets = sockets(owned_pair(udp_fds)?)?;
        for socket in [Some(&sockets.v4), sockets.v6.as_ref()].into_iter().flatten() {
            socket.set_gro(self.facts.get().udp_gro)?;
        }
        self.with(py, |n| n.rebind(sockets))?;
        self.outside().listen_port = listen_port;
        Ok(())
    }

    fn configuration(&self, py: Python<'_>) -> PyResult<Configuration> {
        let (private_key, public_key) =
            self.with(py, |n| n.with_device(|d| (d.private_key(), d.public_key())))?;
        let &Outside { listen_port, fwmark } = &*self.outside();
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
            (n.counts(), handshake_drops, tun::queue_drops(n.tun().name()))
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

    fn events<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let (events, lost) = self.with(py, |n| n.events().take())?;
        let list = PyList::empty(py);
        for event in events {
            let fields = PyDict::new(py);
            fields.set_item("time_ns", event.time_ns)?;
            fields.set_item("severity", severity(event.severity))?;
            fields.set_item("message", event.message)?;
            for (name, value) in event.fields {
                match value {
                    Value::Number(number) => fields.set_item(name, number)?,
                    Value::Text(text) => fields.set_item(name, text)?,
                    Value::Bytes(bytes) => fields.set_item(name, PyBytes::new(py, &bytes))?,
                }
            }
            list.append(fields)?;
        }
        if lost > 0 {
            let fields = PyDict::new(py);
            fields.set_item("time_ns", clock::unix_ns())?;
            fields.set_item("severity", "WARNING")?;
            fields.set_item("message", "events.lost")?;
            fields.set_item("count", lost)?;
            list.append(fields)?;
        }
        Ok(list)
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
        let at = points.iter().map(|name| point(name)).collect::<PyResult<Vec<_>>>()?;
        let started =
            self.with(py, |n| Capture::start(n.capture(), &at, snap_length, output))??;
        *self.held_capture() = Some(started);
        Ok(())
    }

    fn stop_capture(&self, py: Python<'_>) -> Option<CaptureResult> {
        let mut capture = self.held_capture().take()?;
        let state = capture.state();
        py.detach(|| capture.stop());
        Some(CaptureResult {
            written: state.written.load(Relaxed),
            lost: state.lost.load(Relaxed),
            error: state.failed(),
        })
    }

    fn ended(&self, py: Python<'_>) -> PyResult<Option<String>> {
        self.with(py, |n| n.ended().map(|(reason, _)| reason))
    }

    fn close(&self, py: Python<'_>) {
        py.detach(|| {
            drop(self.held_capture().take());
            let native = self.native().take();
            drop(native);
        });
    }
}

impl Drop for Engine {
    /// One that nobody closed is closed where nobody waits for it: its threads may need the interpreter,
    /// or be the very one that lets go of it.
    fn drop(&mut self) {
        let native = sync::lock(&self.native).take();
        if let Some(native) = native {
            std::thread::spawn(move || drop(native));
        }
    }
}

impl Engine {
    /// Tells the stages what the peers are called.
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

    fn held_capture(&self) -> MutexGuard<'_, Option<Capture>> {
        sync::lock(&self.capture)
    }

    fn outside(&self) -> MutexGuard<'_, Outside> {
        sync::lock(&self.state)
    }

    /// Runs without the interpreter, which no lock of ours may wait for.
    fn with<T: Send>(&self, py: Python<'_>, body: impl FnOnce(&Native) -> T + Send) -> PyResult<T> {
        py.detach(|| self.native().as_ref().map(body))
            .ok_or_else(|| PyRuntimeError::new_err("the engine is closed"))
    }
}

/// Writes each handshake's secrets at once, so that no capture is ahead of them.
fn key_log(fd: OwnedFd) -> KeyLogSink {
    let mut file = File::from(fd);
    Box::new(move |secrets| file.write_all(key_log_text(secrets).as_bytes()))
}

fn point(name: &str) -> PyResult<Point> {
    Point::ALL
        .into_iter()
        .find(|point| point.name() == name)
        .ok_or_else(|| value_error(format!("{name:?} is no capture point: tun, stages or udp")))
}

fn endpoint_address(text: &str) -> PyResult<SocketAddr> {
    socket_address::parse(text).ok_or_else(|| {
        value_error(format!(
            "{text:?} is no endpoint here: \"ip:port\" or \"[ip6%interface]:port\""
        ))
    })
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Debug => "DEBUG",
        Severity::Info => "INFO",
        Severity::Warning => "WARNING",
        Severity::Error => "ERROR",
    }
}
