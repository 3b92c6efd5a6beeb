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
mod control;
mod data;
pub mod events;
mod inbound_worker;
mod mailbox;
mod outbound_worker;
mod shared;
mod translate;
mod udp_egress;

use std::{
    io,
    sync::{Arc, atomic::Ordering::Relaxed},
    thread::JoinHandle,
};

use pyfw_core::{
    aead::Aead,
    coalesce::CoalesceOptions,
    counters::{DatagramTally, InboundTally, OutboundTally},
    device::{Device, Entropy},
    gso_egress::{GsoCounts, GsoEgress},
    inbound::Inbound,
    outbound::Outbound,
};

pub use self::shared::Sockets;
use self::{
    capture::CapturePoints,
    control::ControlPlane,
    data::{DataThread, guarded},
    events::Events,
    inbound_worker::InboundWorker,
    mailbox::Mailbox,
    outbound_worker::OutboundWorker,
    shared::{ControlMail, DataCommand, Shared},
    udp_egress::UdpEgress,
};
use crate::{
    epoll::{self, SystemEntropy},
    tun::Tun,
    udp::max_gso_segments,
};

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
}

/// A running tunnel. Dropping it closes it.
pub struct Engine {
    control: Arc<ControlPlane>,
    threads: Vec<JoinHandle<()>>,
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
        let Options { tun, sockets, threads, ciphers, udp_gso, coalesce, mtu } = options;
        let shared = Arc::new(Shared::new(tun)?);
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
        let mut data = vec![DataThread {
            shared: Arc::clone(&shared),
            commands: Arc::new(Mailbox::new()?),
            sockets: Arc::clone(&sockets),
            outbound: Some(OutboundWorker::new(outbound, egress)),
            inbound: Some(InboundWorker::new(inbound, coalesce)),
        }];
        if threads > 1 {
            let inbound = data[0].inbound.take();
            data.push(DataThread {
                shared: Arc::clone(&shared),
                commands: Arc::new(Mailbox::new()?),
                sockets: Arc::clone(&sockets),
                outbound: None,
                inbound,
            });
        }
        let control = Arc::new(ControlPlane::new(
            Arc::clone(&shared),
            Device::new(Box::new(SystemEntropy)),
            sockets,
            Arc::clone(&data[0].commands),
            Arc::clone(&data[data.len() - 1].commands),
        ));
        let mut engine = Self { control, threads: Vec::new() };
        for (number, thread) in data.into_iter().enumerate() {
            engine.spawn(&format!("pyfw-data-{number}"), move |_| thread.run())?;
        }
        engine.spawn("pyfw-control", |control| control.run())?;
        Ok(engine)
    }

    fn spawn(
        &mut self,
        name: &str,
        body: impl FnOnce(&ControlPlane) -> io::Result<()> + Send + 'static,
    ) -> io::Result<()> {
        let control = Arc::clone(&self.control);
        let thread = std::thread::Builder::new().name(name.into()).spawn(move || {
            epoll::block_signals_in_thread();
            guarded(&control.shared, || body(&control));
        })?;
        self.threads.push(thread);
        Ok(())
    }

    /// Changes the device's configuration; all that follows has been posted when this returns.
    pub fn configure<T>(&self, body: impl FnOnce(&mut Device) -> T) -> T {
        self.control.change_from_outside(body)
    }

    /// Looks at the device.
    pub fn look<T>(&self, body: impl FnOnce(&Device) -> T) -> T {
        body(&self.control.lock())
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
            gso: *shared.gso.lock().unwrap_or_else(std::sync::PoisonError::into_inner),
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

    /// Sends what is queued and joins the threads.
    pub fn close(&mut self) {
        self.control.tell_data(|| DataCommand::Stop);
        self.control.shared.stopping.store(true, Relaxed);
        self.control.shared.control.post([ControlMail::Look]);
        for thread in self.threads.drain(..) {
            // A panic was turned into `ended` inside the thread.
            let _ = thread.join();
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.close();
    }
}
