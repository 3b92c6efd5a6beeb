//! What the threads of one tunnel share, and the messages between them.

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

/// The sockets of a tunnel, replaced together.
pub struct Sockets {
    /// IPv4.
    pub v4: UdpSocket,
    /// IPv6, if the machine has it.
    pub v6: Option<UdpSocket>,
}

impl Sockets {
    /// Returns the socket of a family.
    pub(crate) fn of_family(&self, is_ipv4: bool) -> Option<&UdpSocket> {
        if is_ipv4 { Some(&self.v4) } else { self.v6.as_ref() }
    }

    /// Returns one or both sockets.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &UdpSocket> {
        std::iter::once(&self.v4).chain(self.v6.as_ref())
    }
}

/// A message to a data thread.
pub(crate) enum DataCommand {
    Outbound(OutboundCommand),
    Inbound(InboundCommand),
    Rebind(Arc<Sockets>),
    Mtu(usize),
    /// ICMP errors that the outbound path made, for the inbound path to write.
    IcmpErrors(Vec<Box<[u8]>>),
    /// A stage holds or emitted frames, or wants an earlier tick.
    Wake,
    /// A batch that came back from the stages after another thread had taken over.
    DropStalled(Direction, StageBatch),
    Stop,
}

/// A message to the control thread.
pub(crate) enum ControlMessage {
    Report(Report),
    Handshake {
        bytes: Box<[u8]>,
        from: Path,
    },
    /// Deadlines may have changed, the watchdog is armed, or the engine stops.
    Wake,
}

/// State that more than one thread of the tunnel uses.
pub(crate) struct Shared {
    pub(crate) tun: Tun,
    pub(crate) control: Mailbox<ControlMessage>,
    pub(crate) events: Events,
    pub(crate) capture: Arc<CapturePoints>,
    pub(crate) stages: Option<Arc<dyn Stages>>,
    /// The control thread's watchdog checks stage calls; it disarms itself once there are none.
    pub(crate) watchdog_armed: AtomicBool,
    pub(crate) stage_calls: AtomicU64,
    pub(crate) outbound: Arc<OutboundCounts>,
    pub(crate) inbound: Arc<InboundCounts>,
    pub(crate) datagrams: Arc<DatagramCounts>,
    pub(crate) gso: Mutex<GsoCounts>,
    /// Datagrams that the kernel dropped at a full receive buffer (SO_RXQ_OVFL).
    pub(crate) socket_drops: AtomicU64,
    pub(crate) stopping: AtomicBool,
    pub(crate) panicked: AtomicBool,
    end_reason: OnceLock<String>,
}

impl Shared {
    pub(crate) fn new(tun: Tun, stages: Option<Arc<dyn Stages>>) -> std::io::Result<Self> {
        Ok(Self {
            tun,
            control: Mailbox::new()?,
            events: Events::new()?,
            capture: Arc::new(CapturePoints::new()?),
            stages,
            watchdog_armed: AtomicBool::new(false),
            stage_calls: AtomicU64::new(0),
            outbound: Arc::default(),
            inbound: Arc::default(),
            datagrams: Arc::default(),
            gso: Mutex::default(),
            socket_drops: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
            panicked: AtomicBool::new(false),
            end_reason: OnceLock::new(),
        })
    }

    pub(crate) fn emit_event(
        &self,
        severity: Severity,
        message: &'static str,
        fields: impl IntoIterator<Item = (&'static str, Value)>,
    ) {
        let fields = fields.into_iter().collect();
        self.events.post(EngineEvent { time_ns: clock::unix_ns(), severity, message, fields });
    }

    /// Counts a stage call that is about to begin, and arms the watchdog.
    pub(crate) fn note_stage_call(&self) {
        self.stage_calls.fetch_add(1, SeqCst);
        if !self.watchdog_armed.load(SeqCst) && !self.watchdog_armed.swap(true, SeqCst) {
            self.control.post([ControlMessage::Wake]);
        }
    }

    /// Ends the tunnel for a reason of its own; the first reason counts.
    pub(crate) fn end(&self, reason: String) {
        if !self.stopping.swap(true, Relaxed) && self.end_reason.set(reason.clone()).is_ok() {
            self.emit_event(Severity::Error, "tunnel.ended", [("reason", Value::Text(reason))]);
        }
        self.control.post([ControlMessage::Wake]);
    }

    /// Whether the tunnel ended by itself: from then on no packet moves, though it is not closed yet.
    pub(crate) fn has_ended(&self) -> bool {
        self.end_reason.get().is_some()
    }

    /// Returns why the tunnel ended by itself.
    pub(crate) fn end_reason(&self) -> Option<String> {
        self.end_reason.get().cloned()
    }

    pub(crate) fn publish_gso(&self, counts: GsoCounts) {
        *sync::lock(&self.gso) = counts;
    }
}
