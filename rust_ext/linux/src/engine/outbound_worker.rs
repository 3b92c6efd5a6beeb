//! The outbound path on its descriptors: TUN reads in, datagrams out.
//!
//! A drain (until EAGAIN, 256 KiB or 128 frames) is `read`, the user's stages if there are any, and `finish`,
//! which sends the GSO list before the next drain, except a newest batch with room, which the next drain may
//! extend. While a socket is full, no frame is read; encryption continues later where it stopped.

use std::{io, sync::Arc};

use pyfw_core::{
    buffer::{Buffer, STAGE_ROOM},
    frame::FrameBatch,
    outbound::Outbound,
    packet::virtio::VIRTIO_HEADER_LENGTH,
    stage_api::StageBatch,
    wireguard::commands::{OutboundCommand, Report},
};

use super::{
    capture::Point,
    data_plane::Worker,
    shared::{Shared, Sockets},
    udp_egress::{Flush, UdpEgress},
};

/// Bytes after which a drain ends.
const DRAIN_BYTES: usize = 256 << 10;
/// Frames after which a drain ends.
const DRAIN_FRAMES: usize = 128;
/// An IP packet of 65,535 bytes behind its virtio-net header.
const MAX_FRAME_LENGTH: usize = VIRTIO_HEADER_LENGTH + 65_535;
/// IP headers start on a cache line.
const CACHE_LINE: usize = 64;

/// A drain, and what stages add to it.
const BUFFER_LENGTH: usize = DRAIN_BYTES + MAX_FRAME_LENGTH + 2 * CACHE_LINE + STAGE_ROOM;

/// The path, its buffer, and the progress of the current drain.
pub(crate) struct OutboundWorker {
    outbound: Outbound,
    egress: UdpEgress,
    buffer: Buffer,
    batch: FrameBatch,
    /// The first frame of the batch that is not encrypted yet.
    next_frame: usize,
    holds_tail: bool,
    /// The family of the socket that is full.
    blocked_on_ipv4: Option<bool>,
}

impl OutboundWorker {
    pub(crate) fn new(outbound: Outbound, egress: UdpEgress) -> Self {
        Self {
            outbound,
            egress,
            buffer: Buffer::new(BUFFER_LENGTH),
            batch: FrameBatch::default(),
            next_frame: 0,
            holds_tail: false,
            blocked_on_ipv4: None,
        }
    }

    /// Reads one drain and routes it. Returns whether there was a frame.
    pub(crate) fn read(&mut self, shared: &Shared, now_ns: u64) -> io::Result<bool> {
        debug_assert!(!self.is_blocked());
        self.begin(now_ns);
        let Self { outbound, batch, buffer, .. } = self;
        let room = buffer.begin();
        let (mut frames, mut filled, mut is_empty) = (0, 0, false);
        while filled < DRAIN_BYTES && frames < DRAIN_FRAMES {
            let offset = filled.next_multiple_of(CACHE_LINE) + CACHE_LINE - VIRTIO_HEADER_LENGTH;
            let Some(length) = shared.tun.read(&mut room[offset..offset + MAX_FRAME_LENGTH])?
            else {
                is_empty = true;
                break;
            };
            outbound.ingress(batch, room, offset, length);
            filled = offset + length;
            frames += 1;
        }
        outbound.run_tun_aqm(batch, room, is_empty);
        if frames == 0 {
            return Ok(false);
        }
        self.buffer.fill(filled);
        shared.capture.frames(Point::Tun, true, &self.batch, &self.buffer);
        self.outbound.route(&mut self.batch, &self.buffer);
        Ok(true)
    }

    /// Encrypts and sends the rest of the drain until a socket is full. If `may_hold_tail`, a newest batch
    /// with room is held for the frames that are read next: of 64 KiB frames, 45 segments leave instead of 45
    /// and 3 (batches of 41 instead of 33 datagrams on average).
    fn encrypt_and_send(&mut self, may_hold_tail: bool, shared: &Shared, now_ns: u64) {
        loop {
            let are_staged_encrypted = self.outbound.flush_staged(now_ns);
            if are_staged_encrypted {
                self.next_frame = self.outbound.encrypt(&self.batch, &self.buffer, self.next_frame);
            }
            self.outbound.finish(now_ns);
            let is_done = are_staged_encrypted && self.next_frame == self.batch.frames.len();
            self.holds_tail = may_hold_tail && is_done && self.outbound.gso().has_open_tail();
            let held = usize::from(self.holds_tail);
            self.blocked_on_ipv4 = match self.egress.flush(&mut self.outbound, held, shared, now_ns)
            {
                Flush::Done => None,
                Flush::Blocked { is_ipv4 } => Some(is_ipv4),
            };
            if self.is_blocked() || is_done {
                break;
            }
        }
        self.outbound.publish();
        shared.publish_gso(self.outbound.gso().counts());
    }

    /// Runs a command of the control thread. Its datagrams leave with [`Self::flush`].
    pub(crate) fn handle_command(&mut self, command: OutboundCommand, now_ns: u64) {
        self.outbound.handle_command(command, now_ns);
    }

    /// Sends what a command or a writable socket made possible.
    pub(crate) fn flush(&mut self, shared: &Shared, now_ns: u64) {
        self.encrypt_and_send(false, shared, now_ns);
    }

    /// Whether the newest GSO batch is held back, to be extended by the next drain.
    pub(crate) fn holds_tail(&self) -> bool {
        self.holds_tail && !self.is_blocked()
    }

    /// Whether a full socket blocks the path.
    pub(crate) fn is_blocked(&self) -> bool {
        self.blocked_on_ipv4.is_some()
    }

    /// Returns whether the full socket is IPv4's, if one is full.
    pub(crate) fn blocked_on_ipv4(&self) -> Option<bool> {
        self.blocked_on_ipv4
    }

    pub(crate) fn rebind(&mut self, sockets: Arc<Sockets>) {
        self.egress.rebind(sockets);
    }

    pub(crate) fn set_mtu(&mut self, mtu: usize) {
        self.outbound.set_mtu(mtu);
    }

    /// Returns the ICMP errors for the senders of dropped frames, as packets for the TUN.
    pub(crate) fn icmp_errors(&mut self) -> &mut Vec<Box<[u8]>> {
        self.outbound.icmp_errors()
    }

    pub(crate) fn reports(&mut self) -> &mut Vec<Report> {
        self.outbound.reports()
    }
}

impl Worker for OutboundWorker {
    fn begin(&mut self, now_ns: u64) {
        self.batch.clear();
        self.batch.received_ns = now_ns;
        self.next_frame = 0;
        // A stalled stage has the buffer.
        if self.buffer.is_empty() {
            self.buffer = Buffer::new(BUFFER_LENGTH);
        }
        self.buffer.begin();
    }

    fn take_batch(&mut self) -> StageBatch {
        let (batch, buffer) = (std::mem::take(&mut self.batch), std::mem::take(&mut self.buffer));
        StageBatch { batch, buffer, ..StageBatch::default() }
    }

    fn restore_batch(&mut self, mut batch: StageBatch) {
        self.outbound.return_from_stages(&mut batch);
        (self.batch, self.buffer) = (batch.batch, batch.buffer);
        self.next_frame = 0;
    }

    fn finish(&mut self, shared: &Shared, now_ns: u64) -> io::Result<()> {
        shared.capture.frames(Point::Stages, true, &self.batch, &self.buffer);
        self.encrypt_and_send(true, shared, now_ns);
        Ok(())
    }

    fn drop_stalled(&mut self, mut batch: StageBatch) {
        self.outbound.return_from_stages(&mut batch);
        self.outbound.drop_stalled(&mut batch.batch);
        self.outbound.publish();
    }
}
