//! What the threads of one tunnel share.

use std::sync::{
    Arc, Mutex, OnceLock,
    atomic::{
        AtomicBool, AtomicU64,
        Ordering::{Relaxed, SeqCst},
    },
};

use pyfw_core::{
    counters::{DatagramCounts, InboundCounts, OutboundCounts},
    outbound::gso_egress::GsoCounts,
    stage_api::{Direction, StageBatch, Stages},
    sync,
    wireguard::{
        commands::{InboundCommand, OutboundCommand, Report},
        path::Path,
    },
};

use super::{
    capture::CapturePoints,
    events::{EngineEvent, Events, Severity, Value},
    mailbox::Mailbox,
};
use crate::sys::{clock, tun::Tun, udp::UdpSocket};

/// The sockets of a tunnel; replaced as a whole.
pub struct Sockets {
    /// IPv4.
    pub v4: UdpSocket,
    /// IPv6, where the machine has it.
    pub v6: Option<UdpSocket>,
}

impl Sockets {
    /// The socket that reaches a destination.
    pub(crate) fn towards(&self, path: &Path) -> Option<&UdpSocket> {
        if path.destination.is_ipv4() { Some(&self.v4) } else { self.v6.as_ref() }
    }
}

/// What a data thread is told.
pub(crate) enum DataCommand {
    Outbound(OutboundCommand),
    Inbound(InboundCommand),
    Rebind(Arc<Sockets>),
    Mtu(usize),
    /// ICMP errors that outbound made, for inbound to write.
    IcmpErrors(Vec<Box<[u8]>>),
    /// Stages have something that waits, or want a tick earlier.
    Look,
    /// A batch came back from its stages when another thread had taken the handle.
    Abandoned(Direction, StageBatch),
    Stop,
}

/// What the control thread is told.
pub(crate) enum ControlMail {
    Report(Report),
    /// A handshake message, and when it arrived (boot nanoseconds).
    Handshake {
        bytes: Box<[u8]>,
        from: Path,
    },
    /// Deadlines may have changed, or the engine is stopping: look again.
    Look,
}

/// Everything that more than one thread of the tunnel touches.
pub(crate) struct Shared {
    pub(crate) tun: Tun,
    pub(crate) control: Mailbox<ControlMail>,
    pub(crate) events: Events,
    pub(crate) capture: Arc<CapturePoints>,
    pub(crate) stages: Option<Arc<dyn Stages>>,
    /// Control looks at how long calls of stages last; it does as long as there are any.
    pub(crate) watching: AtomicBool,
    pub(crate) stage_calls: AtomicU64,
    pub(crate) outbound: Arc<OutboundCounts>,
    pub(crate) inbound: Arc<InboundCounts>,
    pub(crate) datagrams: Arc<DatagramCounts>,
    pub(crate) gso: Mutex<GsoCounts>,
    /// Datagrams that the kernel dropped at a full receive buffer (SO_RXQ_OVFL).
    pub(crate) socket_drops: AtomicU64,
    pub(crate) stopping: AtomicBool,
    pub(crate) panicked: AtomicBool,
    ended: OnceLock<String>,
}

impl Shared {
    pub(crate) fn new(tun: Tun, stages: Option<Arc<dyn Stages>>) -> std::io::Result<Self> {
        Ok(Self {
            tun,
            control: Mailbox::new()?,
            events: Events::new()?,
            capture: Arc::new(CapturePoints::new()?),
            stages,
            watching: AtomicBool::new(false),
            stage_calls: AtomicU64::new(0),
            outbound: Arc::default(),
            inbound: Arc::default(),
            datagrams: Arc::default(),
            gso: Mutex::default(),
            socket_drops: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
            panicked: AtomicBool::new(false),
            ended: OnceLock::new(),
        })
    }

    pub(crate) fn emit_event(
        &self,
        severity: Severity,
        message: &'static str,
        fields: impl IntoIterator<Item = (&'static str, Value)>,
    ) {
        let fields = fields.into_iter().collect();
        let time_ns = clock::unix_ns();
        self.events.post(EngineEvent { time_ns, severity, message, fields });
    }

    /// A stage is about to be called: control has an eye on it.
    pub(crate) fn note_stage_call(&self) {
        self.stage_calls.fetch_add(1, SeqCst);
        if !self.watching.load(SeqCst) && !self.watching.swap(true, SeqCst) {
            self.control.post([ControlMail::Look]);
        }
    }

    /// Notes why the tunnel ends by itself; the first reason stands.
    pub(crate) fn end(&self, reason: String) {
        if !self.stopping.swap(true, Relaxed) && self.ended.set(reason.clone()).is_ok() {
            self.emit_event(Severity::Error, "tunnel.ended", [("reason", Value::Text(reason))]);
        }
        self.control.post([ControlMail::Look]);
    }

    /// Whether the tunnel ended by itself: nothing moves any more, however long it takes until it is closed.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended.get().is_some()
    }

    /// Why the tunnel ended by itself.
    pub(crate) fn ended(&self) -> Option<String> {
        self.ended.get().cloned()
    }

    pub(crate) fn publish_gso(&self, counts: GsoCounts) {
        *sync::lock(&self.gso) = counts;
    }
}
