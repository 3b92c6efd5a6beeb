//! The engine: one tunnel's native threads over descriptors it is given.
//!
//! ```text
//! data thread(s)   TUN ⇄ both paths ⇄ UDP       run to completion, no locks held, no Python
//!        ⇅ mailboxes (commands, reports, handshake messages)
//! control thread   the device: handshakes, timers; also entered by configuration calls
//!        ↓ events
//! Python
//! ```

pub mod capture;
mod control_thread;
mod data_plane;
mod data_thread;
pub mod events;
mod failure_log;
mod inbound_worker;
mod mailbox;
mod outbound_worker;
pub mod passthrough;
mod shared;
mod stage_host;
mod stage_watchdog;
mod threads;
mod translate;
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
    shared::{ControlMail, DataCommand, Shared},
    stage_host::EngineStageHost,
    threads::Threads,
    udp_egress::UdpEgress,
};
pub use self::{control_thread::KeyLogSink, shared::Sockets};
use crate::sys::{entropy::SystemEntropy, tun::Tun, udp::max_gso_segments};

/// The name of every data thread, as `top -H` shows it.
const DATA_THREAD: &str = "pyfw-data";
/// Batches in flight: 64 × 64 KiB of address space, touched as far as a drain needs it.
const GSO_BUFFERS: usize = 64;

/// What an engine is built from.
pub struct Options {
    /// The TUN, open, with its offloads set.
    pub tun: Tun,
    /// The sockets, bound.
    pub sockets: Sockets,
    /// 1 (both directions in one) or 2 data threads.
    pub threads: usize,
    /// A transport cipher for each path.
    pub ciphers: [Box<dyn Aead>; 2],
    /// Whether datagrams are sent in batches (UDP_SEGMENT).
    pub udp_gso: bool,
    /// What is merged towards the TUN.
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

/// What was counted until the last batch.
#[derive(Clone, Debug)]
pub struct Counts {
    /// Segments on their way out.
    pub outbound: OutboundTally,
    /// Segments on their way in.
    pub inbound: InboundTally,
    /// Datagrams received.
    pub datagrams: DatagramTally,
    /// How datagrams were batched.
    pub gso: GsoCounts,
    /// Datagrams dropped by the kernel at a full receive buffer.
    pub socket_drops: u64,
}

impl Engine {
    /// Starts the threads. There are no peers and no key yet.
    ///
    /// # Errors
    /// The kernel's, where it refuses a descriptor or a thread.
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
        let paths = |outbound, inbound| DataPlane {
            outbound,
            inbound,
            sockets: Arc::clone(&sockets),
            retired: None,
            neighbour: None,
            mtu,
            stop: false,
        };
        let outbound = Some(OutboundWorker::new(outbound, egress));
        let inbound = Some(InboundWorker::new(inbound, coalesce));
        let handles = match threads {
            0 | 1 => vec![DataPlaneHandle::new(paths(outbound, inbound))?],
            _ => vec![
                DataPlaneHandle::new(paths(outbound, None))?,
                DataPlaneHandle::new(paths(None, inbound))?,
            ],
        };
        let handles: Vec<_> = handles.into_iter().map(Arc::new).collect();
        if let [first, second] = &handles[..] {
            first.lock().neighbour = Some(Arc::clone(&second.commands));
            second.lock().neighbour = Some(Arc::clone(&first.commands));
        }
        if let Some(stages) = &shared.stages {
            stages.connect(Arc::new(EngineStageHost::new(&shared, &handles)));
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
        let sit = move |handle: &Arc<DataPlaneHandle>, generation: u64| {
            let thread =
                DataThread { shared: Arc::clone(&shared), handle: Arc::clone(handle), generation };
            let handle = Some((Arc::clone(handle), generation));
            threads.start(DATA_THREAD, Arc::clone(&shared), handle, move || thread.run())
        };
        for handle in &self.control.handles {
            sit(handle, handle.generation())?;
        }
        let control = Arc::clone(&self.control);
        self.threads
            .start("pyfw-control", Arc::clone(&control.shared), None, move || control.run(&sit))
    }

    /// Changes the device's configuration; all that follows has been posted when this returns.
    pub fn configure<T>(&self, body: impl FnOnce(&mut Device) -> T) -> T {
        self.control.change_from_outside(body)
    }

    /// Looks at the device.
    pub fn with_device<T>(&self, body: impl FnOnce(&Device) -> T) -> T {
        body(&self.control.lock())
    }

    /// Gives the secrets of handshakes to `sink` from now on, or to nobody. Whoever has them can read what was
    /// captured.
    pub fn set_key_log(&self, sink: Option<KeyLogSink>) {
        self.control.set_key_log(sink);
    }

    /// Goes over to other sockets; sessions and staged frames stay.
    pub fn rebind(&self, sockets: Sockets) {
        self.control.rebind(sockets);
    }

    /// The sockets in use.
    pub fn sockets(&self) -> Arc<Sockets> {
        self.control.sockets()
    }

    /// The TUN.
    pub fn tun(&self) -> &Tun {
        &self.control.shared.tun
    }

    /// Follows the TUN's MTU.
    pub fn set_mtu(&self, mtu: usize) {
        self.control.tell_data(|| DataCommand::Mtu(mtu));
    }

    /// What was counted until the last batch.
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

    /// What the threads have to say.
    pub fn events(&self) -> &Events {
        &self.control.shared.events
    }

    /// Where packets can be listened to.
    pub fn capture(&self) -> Arc<CapturePoints> {
        Arc::clone(&self.control.shared.capture)
    }

    /// Why the tunnel ended by itself, and whether by a panic.
    pub fn ended(&self) -> Option<(String, bool)> {
        let shared = &self.control.shared;
        shared.ended().map(|reason| (reason, shared.panicked.load(Relaxed)))
    }

    /// Sends what is queued and joins the threads. A thread that a stage does not give back within two
    /// seconds is left to itself, and said.
    pub fn close(&mut self) {
        let shared = &self.control.shared;
        self.control.tell_data(|| DataCommand::Stop);
        shared.stopping.store(true, Relaxed);
        shared.control.post([ControlMail::Look]);
        let left = self.threads.join(shared.stages.is_some());
        if left != 0 {
            for handle in &self.control.handles {
                if let Some(mut paths) = handle.vacant() {
                    handle.take_over(&mut paths);
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
