//! Counters of a tunnel, of a peer and of stages, as Python reads them.

use std::{collections::BTreeMap, sync::Arc};

use pyfw_core::{
    counters::{DatagramTally, InboundTally, OutboundTally},
    outbound::gso_egress::GsoCounts,
    stages::{
        chain::{Slot, WaitCounts},
        state::StageCounts,
    },
    wireguard::peer::Activity,
};
use pyo3::{prelude::*, types::PyDict};

use crate::report::report;

report! {
    /// Counters of a tunnel, exact at batch boundaries. Packets are inner segments.
    Counters {
        /// Packets from the TUN to the peers.
        outbound: Py<OutboundCounters>,
        /// Packets from the peers to the TUN.
        inbound: Py<InboundCounters>,
        /// Datagrams received.
        datagrams: Py<DatagramCounters>,
        /// Handshake messages dropped, by reason.
        handshake_drops: BTreeMap<&'static str, u64>,
        /// GSO batches sent.
        gso: Py<GsoCounters>,
        /// Frames that the kernel dropped because the TUN's queue was full; None if the interface is in
        /// another network namespace.
        tun_queue_drops: Option<u64>,
        /// The user's stages; None if there are none.
        stages: Option<Py<ChainCounters>>,
    }
    omits stages if None
}

report! {
    /// Outbound packets: entered + created = left + queued + sum of drops.
    OutboundCounters {
        /// Packets read from the TUN; of a peer: routed to it.
        entered: u64,
        /// Packets created by stages.
        created: u64,
        /// Packets that the kernel took in datagrams.
        left: u64,
        /// Packets held by a stage, staged until a session exists, or in the GSO list.
        queued: u64,
        /// Packets marked with CE because a queue stood at the TUN (RFC 8289).
        marked: u64,
        /// Packets dropped, by reason.
        drops: BTreeMap<&'static str, u64>,
    }
}

report! {
    /// Inbound packets: entered + created = left + queued + sum of drops.
    InboundCounters {
        /// Packets decrypted from data messages.
        entered: u64,
        /// Packets created by stages, and ICMP errors.
        created: u64,
        /// Packets written to the TUN.
        left: u64,
        /// Packets held by a stage.
        queued: u64,
        /// Data messages below the highest counter already seen in their session: exact reordering.
        late: u64,
        /// Packets marked with CE: the datagram was (RFC 6040), or a queue stood at the UDP socket (RFC
        /// 8289).
        marked: u64,
        /// Packets dropped, by reason.
        drops: BTreeMap<&'static str, u64>,
    }
}

report! {
    /// Datagrams: received = data + handshakes + cookies + keepalives + others + sum of drops.
    DatagramCounters {
        /// Datagrams read from the sockets.
        received: u64,
        /// Authentic data messages that carry a packet.
        data: u64,
        /// Handshake initiations and responses.
        handshakes: u64,
        /// Cookie replies.
        cookies: u64,
        /// Authentic data messages that carry no packet.
        keepalives: u64,
        /// Datagrams of another protocol, given to its handler.
        others: u64,
        /// Datagrams dropped, by reason.
        drops: BTreeMap<&'static str, u64>,
        /// Datagrams that the kernel dropped because the receive buffer was full; not part of `received`.
        socket_drops: u64,
    }
}

report! {
    /// GSO batches sent.
    GsoCounters {
        /// Batches sent.
        batches: u64,
        /// Datagrams sent in them.
        datagrams: u64,
        /// Batches by number of datagrams: 1, 2, 3–4, 5–8, 9–16, 17–32, 33–64, more.
        sizes: [u64; 8],
    }
}

report! {
    /// Packets of one peer.
    PeerCounters {
        /// Packets routed to the peer.
        outbound: Py<OutboundCounters>,
        /// Packets received from the peer.
        inbound: Py<InboundCounters>,
    }
}

report! {
    /// The user's stages of a tunnel.
    ChainCounters {
        /// StageCounters by name of the stage, in the order of the chain.
        stages: Py<PyDict>,
        /// Batches for which a data thread attached to the interpreter.
        entries: u64,
        /// Time that data threads waited to attach, nanoseconds.
        attach_wait_ns: u64,
        /// The longest of these waits, nanoseconds.
        attach_wait_longest_ns: u64,
        /// Buffers retired because a stage kept a view of them.
        views_kept: u64,
    }
}

report! {
    /// One stage.
    StageCounters {
        /// Calls of `process`.
        calls: u64,
        /// Calls of `process` and `tick` that raised.
        failures: u64,
        /// Frames passed to `process`.
        frames: u64,
        /// Segments of these frames.
        segments: u64,
        /// Segments created by the stage.
        created: u64,
        /// Time spent in its calls, nanoseconds.
        time_ns: u64,
        /// The longest call, nanoseconds.
        longest_ns: u64,
        /// Frames that the stage holds.
        held_frames: u64,
        /// Segments of the frames that it holds.
        held_segments: u64,
        /// Bytes of the frames that it holds.
        held_bytes: u64,
        /// Segments dropped, by reason.
        drops: BTreeMap<String, u64>,
        /// The stage's own counters (`Stage.count`).
        own: BTreeMap<String, u64>,
        /// Whether it was taken out of the chain because it failed.
        is_out: bool,
    }
}

impl From<&OutboundTally> for OutboundCounters {
    fn from(tally: &OutboundTally) -> Self {
        let &OutboundTally { entered, created, left, queued, marked, drops: _ } = tally;
        let drops = nonzero(tally.named_drops());
        Self { entered, created, left, queued, marked, drops }
    }
}

impl From<&InboundTally> for InboundCounters {
    fn from(tally: &InboundTally) -> Self {
        let &InboundTally { entered, created, left, queued, late, marked, drops: _ } = tally;
        let drops = nonzero(tally.named_drops());
        Self { entered, created, left, queued, late, marked, drops }
    }
}

impl DatagramCounters {
    pub(crate) fn new(tally: &DatagramTally, socket_drops: u64) -> Self {
        let &DatagramTally { received, data, handshakes, cookies, keepalives, others, drops: _ } =
            tally;
        let drops = nonzero(tally.named_drops());
        Self { received, data, handshakes, cookies, keepalives, others, drops, socket_drops }
    }
}

impl From<GsoCounts> for GsoCounters {
    fn from(GsoCounts { batches, datagrams, sizes }: GsoCounts) -> Self {
        Self { batches, datagrams, sizes }
    }
}

impl PeerCounters {
    pub(crate) fn new(py: Python<'_>, activity: &Activity) -> PyResult<Self> {
        Ok(Self {
            outbound: Py::new(py, OutboundCounters::from(&activity.outbound.read()))?,
            inbound: Py::new(py, InboundCounters::from(&activity.inbound.read()))?,
        })
    }
}

impl ChainCounters {
    pub(crate) fn new(
        py: Python<'_>,
        slots: &[Arc<Slot>],
        waits: WaitCounts,
        views_kept: u64,
    ) -> PyResult<Self> {
        let stages = PyDict::new(py);
        for slot in slots {
            stages.set_item(slot.name(), StageCounters::from(&**slot))?;
        }
        let WaitCounts { entries, total_ns, longest_ns } = waits;
        Ok(Self {
            stages: stages.unbind(),
            entries,
            attach_wait_ns: total_ns,
            attach_wait_longest_ns: longest_ns,
            views_kept,
        })
    }
}

impl From<&Slot> for StageCounters {
    fn from(slot: &Slot) -> Self {
        let StageCounts {
            calls,
            failures,
            frames,
            segments,
            created,
            time_ns,
            longest_ns,
            held_frames,
            held_segments,
            held_bytes,
            drops,
            own,
        } = slot.counts();
        Self {
            calls,
            failures,
            frames,
            segments,
            created,
            time_ns,
            longest_ns,
            held_frames,
            held_segments,
            held_bytes,
            drops,
            own,
            is_out: slot.is_removed(),
        }
    }
}

/// Returns the reasons that occurred.
fn nonzero(drops: impl Iterator<Item = (&'static str, u64)>) -> BTreeMap<&'static str, u64> {
    drops.filter(|(_, count)| *count != 0).collect()
}

/// Returns the fields of a tally, and its drops that occurred under "drops".
pub(crate) fn named<'py>(
    py: Python<'py>,
    fields: Vec<(&'static str, u64)>,
    drops: impl Iterator<Item = (&'static str, u64)>,
) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for (name, count) in fields {
        dict.set_item(name, count)?;
    }
    dict.set_item("drops", nonzero(drops))?;
    Ok(dict)
}
