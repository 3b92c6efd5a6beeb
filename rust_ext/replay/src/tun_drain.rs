//! One drain of a node's TUN, filled packet by packet.

use pyfw_core::{
    frame::{Frame, FrameBatch, Slice},
    inbound::{
        coalesce::{Coalesce, CoalesceOptions},
        tun_egress::virtio_header,
    },
    packet::{self, pieces::pieces, virtio::VIRTIO_HEADER_LENGTH},
};

use crate::plan::{DrainLimits, Frames, Plan};

/// The frames that the node reads from its TUN next.
pub(crate) struct TunDrain {
    limits: DrainLimits,
    /// Merges segments into super-packets, if the plan asks for them.
    tso: Option<Coalesce>,
    /// Frames with their virtio-net headers.
    pub(crate) buffer: Vec<u8>,
    /// Offset and length of each frame in the buffer, virtio-net header included.
    pub(crate) frames: Vec<(usize, usize)>,
    /// The packets that could be parsed.
    packets: FrameBatch,
    first_packet_ns: u64,
}

impl TunDrain {
    pub(crate) fn new(plan: &Plan) -> Self {
        let options = CoalesceOptions { tcp4: true, tcp6: true, udp: true, psh_closes: false };
        Self {
            limits: plan.drain,
            tso: (plan.frames == Frames::Tso).then(|| Coalesce::new(options, plan.seed)),
            buffer: Vec::new(),
            frames: Vec::new(),
            packets: FrameBatch::default(),
            first_packet_ns: 0,
        }
    }

    /// Appends a packet; returns its parsed headers, unless they are invalid.
    pub(crate) fn push(&mut self, bytes: &[u8], now_ns: u64) -> Option<Frame> {
        if self.frames.is_empty() {
            self.first_packet_ns = now_ns;
        }
        let start = self.buffer.len();
        self.buffer.extend_from_slice(&[0; VIRTIO_HEADER_LENGTH]);
        self.buffer.extend_from_slice(bytes);
        self.frames.push((start, VIRTIO_HEADER_LENGTH + bytes.len()));
        let frame = packet::parse(bytes, (start + VIRTIO_HEADER_LENGTH) as u32).ok();
        self.packets.frames.extend(frame);
        frame
    }

    /// Whether the drain has reached its limit of packets or bytes.
    pub(crate) fn is_full(&self) -> bool {
        let bytes = self.buffer.len() - self.frames.len() * VIRTIO_HEADER_LENGTH;
        self.frames.len() >= self.limits.frames || bytes >= self.limits.bytes
    }

    /// When the window closes; `None` for an empty drain.
    pub(crate) fn due_ns(&self) -> Option<u64> {
        let end_ns = self.first_packet_ns.saturating_add(self.limits.window_ns).saturating_add(1);
        (!self.frames.is_empty()).then_some(end_ns)
    }

    /// Replaces runs of one flow's segments by the super-packets that a kernel with TSO would have sent.
    pub(crate) fn apply_tso(&mut self) {
        let Some(tso) = &mut self.tso else { return };
        tso.process(&mut self.packets, &mut self.buffer);
        let mut merged = Vec::with_capacity(self.buffer.len());
        self.frames.clear();
        for frame in &self.packets.frames {
            let start = merged.len();
            merged.extend_from_slice(&virtio_header(frame));
            let mut whole = [Slice { offset: 0, length: 0 }];
            for slice in pieces(frame, &self.packets.slices, &mut whole) {
                let Slice { offset, length } = *slice;
                let (from, to) = (offset as usize, (offset + length) as usize);
                merged.extend_from_slice(&self.buffer[from..to]);
            }
            self.frames.push((start, merged.len() - start));
        }
        self.buffer = merged;
    }

    pub(crate) fn clear(&mut self) {
        self.buffer.clear();
        self.frames.clear();
        self.packets.clear();
    }
}
