//! The engine: the native threads of one tunnel, over descriptors that it owns.
//!
//! ```text
//! data thread(s)   TUN ⇄ data plane (both paths) ⇄ UDP
//!        ⇅ mailboxes: commands, reports, handshake messages
//! control thread   the device (handshakes, timers), which configuration calls also use; the stage watchdog
//!        ↓ events, capture
//! Python
//! ```
//!
//! The walk of a packet: `data_thread`, `data_plane`, `outbound_worker`, the core's `Outbound`, `udp_egress`;
//! and back: `data_thread`, `data_plane`, `inbound_worker`, the core's `Inbound`.

pub mod capture;
mod control_thread;
mod data_plane;
mod data_thread;
pub mod events;
mod failure_log;
mod inbound_worker;
mod mailbox;
mod outbound_worker;
#[cfg(feature = "bench")]
pub mod passthrough;
mod shared;
mod stage_host;
mod stage_watchdog;
mod threads;
mod udp_egress;

use std::{
    io,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use pyfw_core::{
    aead::Aead,
    counters::{DatagramTally, InboundTally, OutboundTally},
    inbound::{Inbound, coalesce::CoalesceOptions},
    outbound::{
        Outbound,
        gso_egress::{GsoCounts, GsoEgress},
    },
    stage_api::Stages,
    sync,
    wireguard::device::{Device, Entropy},
};

use self::{
    capture::CapturePoints,
    control_thread::ControlPlane,
    data_plane::{DataPlane, DataPlaneHandle},
    data_thread::DataThread,
    events::{Events, Severity, Value},
    inbound_worker::InboundWorker,
    outbound_worker::OutboundWorker,
    shared::{ControlMessage, DataCommand, Shared},
    stage_host::EngineStageHost,
    threads::Threads,
    udp_egress::UdpEgress,
};
pub use self::{control_thread::KeyLogSink, shared::Sockets};
use crate::sys::{entropy::SystemEntropy, tun::Tun, udp::max_gso_segments};

/// Names of threads, as `top -H` shows them.
const DATA_THREAD: &str = "pyfw-data";
const CONTROL_THREAD: &str = "pyfw-control";
/// GSO batches in flight: 64 × 64 KiB of address space, touched only as far as drains need it.
const GSO_BUFFERS: usize = 64;

/// Parameters of an engine.
pub struct Options {
    /// The TUN, with its offloads set.
    pub tun: Tun,
    /// The bound sockets.
    pub sockets: Sockets,
    /// 1 (both directions in one) or 2 data threads.
    pub threads: usize,
    /// A transport cipher for the outbound and one for the inbound path.
    pub ciphers: [Box<dyn Aead>; 2],
    /// Whether to send GSO batches (UDP_SEGMENT).
    pub udp_gso: bool,
    /// The segments to merge towards the TUN.
    pub coalesce: CoalesceOptions,
    /// The TUN's MTU.
    pub mtu: usize,
    /// The user's stages.
    pub stages: Option<Arc<dyn Stages>>,
}

/// A running tunnel. Dropping it closes it.
pub struct Engine {
    control: Arc<ControlPlane>,
    threads: Arc<Threads>,
}

/// Counters at the last batch boundary.
#[derive(Clone, Debug)]
pub struct Counts {
    /// Segments of the outbound path.
    pub outbound: OutboundTally,
    /// Segments of the inbound path.
    pub inbound: InboundTally,
    /// Received datagrams.
    pub datagrams: DatagramTally,
    /// GSO batches and their sizes.
    pub gso: GsoCounts,
    /// Datagrams that the kernel dropped at a full receive buffer.
    pub socket_drops: u64,
}

impl Engine {
    /// Starts the threads, without peers and without a private key.
    ///
    /// # Errors
    /// The kernel's, if it refuses a descriptor or a thread.
    pub fn start(options: Options) -> io::Result<Self> {
        let Options { tun, sockets, threads, ciphers, udp_gso, coalesce, mtu, stages } = options;
        let shared = Arc::new(Shared::new(tun, stages)?);
        let sockets = Arc::new(sockets);
        let [seal, open] = ciphers;
        let gso = GsoEgress::new(max_gso_segments(), GSO_BUFFERS);
        let outbound = Outbound::new(gso, seal, mtu, Arc::clone(&shared.outbound));
        let egress = UdpEgress::new(Arc::clone(&sockets), udp_gso);
        let mut seed = [0; 8];
        SystemEntropy.fill(&mut seed);
        let inbound = Inbound::new(
            open,
            coalesce,
            u64::from_le_bytes(seed),
            Arc::clone(&shared.inbound),
            Arc::clone(&shared.datagrams),
        );
        let plane = |outbound, inbound| DataPlane {
            outbound,
            inbound,
            sockets: Arc::clone(&sockets),
            retired: None,
            other_thread: None,
            mtu,
            stop: false,
        };
        let outbound = Some(OutboundWorker::new(outbound, egress));
        let inbound = Some(InboundWorker::new(inbound, coalesce));
        let handles = match threads {
            0 | 1 => vec![DataPlaneHandle::new(plane(outbound, inbound))?],
            _ => vec![
                DataPlaneHandle::new(plane(outbound, None))?,
                DataPlaneHandle::new(plane(None, inbound))?,
            ],
        };
        let handles: Vec<_> = handles.into_iter().map(Arc::new).collect();
        if let [first, second] = &handles[..] {
            first.lock().other_thread = Some(Arc::clone(&second.commands));
            second.lock().other_thread = Some(Arc::clone(&first.commands));
        }
        if let Some(stages) = &shared.stages {
            stages.set_host(Arc::new(EngineStageHost::new(&shared, &handles)));
        }
        let control = Arc::new(ControlPlane::new(
            Arc::clone(&shared),
            Device::new(Box::new(SystemEntropy)),
            sockets,
            handles,
        ));
        let engine = Self { control, threads: Arc::default() };
        engine.start_threads()?;
        Ok(engine)
    }

    fn start_threads(&self) -> io::Result<()> {
        let (threads, shared) = (Arc::clone(&self.threads), Arc::clone(&self.control.shared));
        let start_data_thread = move |handle: &Arc<DataPlaneHandle>, generation: u64| {
            let thread =
                DataThread { shared: Arc::clone(&shared), handle: Arc::clone(handle), generation };
            let plane = Some((Arc::clone(handle), generation));
            threads.start(DATA_THREAD, Arc::clone(&shared), plane, move || thread.run())
        };
        for handle in &self.control.handles {
            start_data_thread(handle, handle.generation())?;
        }
        let control = Arc::clone(&self.control);
        self.threads.start(CONTROL_THREAD, Arc::clone(&control.shared), None, move || {
            control.run(&start_data_thread)
        })
    }

    /// Changes the device. When this returns, the commands that follow from the change are posted and its
    /// messages are sent.
    pub fn configure<T>(&self, body: impl FnOnce(&mut Device) -> T) -> T {
        self.control.configure(body)
    }

    /// Reads the device.
    pub fn with_device<T>(&self, body: impl FnOnce(&Device) -> T) -> T {
        body(&self.control.lock())
    }

    /// Sets or removes the sink of handshake secrets, with which captured traffic can be decrypted.
    pub fn set_key_log(&self, sink: Option<KeyLogSink>) {
        self.control.set_key_log(sink);
    }

    /// Replaces the sockets. Sessions and staged frames stay.
    pub fn rebind(&self, sockets: Sockets) {
        self.control.rebind(sockets);
    }

    /// Returns the sockets in use.
    pub fn sockets(&self) -> Arc<Sockets> {
        self.control.sockets()
    }

    /// Returns the TUN.
    pub fn tun(&self) -> &Tun {
        &self.control.shared.tun
    }

    /// Sets the TUN's MTU.
    pub fn set_mtu(&self, mtu: usize) {
        self.control.post_to_data_threads(|| DataCommand::Mtu(mtu));
    }

    /// Returns the counters at the last batch boundary.
    pub fn counts(&self) -> Counts {
        let shared = &self.control.shared;
        Counts {
            outbound: shared.outbound.read(),
            inbound: shared.inbound.read(),
            datagrams: shared.datagrams.read(),
            gso: *sync::lock(&shared.gso),
            socket_drops: shared.socket_drops.load(Relaxed),
        }
    }

    /// Returns the queue of events.
    pub fn events(&self) -> &Events {
        &self.control.shared.events
    }

    /// Returns the capture points.
    pub fn capture(&self) -> Arc<CapturePoints> {
        Arc::clone(&self.control.shared.capture)
    }

    /// Returns why the tunnel ended by itself, and whether by a panic.
    pub fn ended(&self) -> Option<(String, bool)> {
        let shared = &self.control.shared;
        shared.end_reason().map(|reason| (reason, shared.panicked.load(Relaxed)))
    }

    /// Sends what is queued and joins the threads. A thread whose stage call does not return within two
    /// seconds is abandoned and logged.
    pub fn close(&mut self) {
        let shared = &self.control.shared;
        self.control.post_to_data_threads(|| DataCommand::Stop);
        shared.stopping.store(true, Relaxed);
        shared.control.post([ControlMessage::Wake]);
        let left = self.threads.join(shared.stages.is_some());
        if left != 0 {
            for handle in &self.control.handles {
                if let Some(mut plane) = handle.try_lock() {
                    handle.next_generation(&mut plane);
                }
            }
            let fields = [("threads", Value::Number(left as i64))];
            shared.emit_event(Severity::Error, "stage.left_behind", fields);
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.close();
    }
}
