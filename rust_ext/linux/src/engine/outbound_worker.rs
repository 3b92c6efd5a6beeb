//! The outbound path on its descriptors: TUN reads in, datagrams out.
//!
//! In: one drain of the TUN at a time (until EAGAIN, 256 KiB or 128 frames). Out: what the GSO list
//! holds, sent before the next drain; only a newest batch with room waits for that one, to be filled.
//! Drops: see the stages. Order: while the socket is full, no frame is read; the drain goes on where
//! it stopped.
//!
//! A drain is `read`, a stage_batch to the user's stages and back where there are any, and `send`.

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
    shared::{Shared, Sockets},
    udp_egress::{Flush, UdpEgress},
};

/// Bytes after which a drain ends.
const DRAIN_BYTES: usize = 256 << 10;
/// Frames after which a drain ends.
const DRAIN_FRAMES: usize = 128;
/// The longest frame: an IP packet of 65,535 bytes behind its virtio-net header.
const LONGEST: usize = VIRTIO_HEADER_LENGTH + 65_535;
/// IP headers start on a cache line.
const LINE: usize = 64;

/// A drain, and what stages add to it.
const BUFFER_LENGTH: usize = DRAIN_BYTES + LONGEST + 2 * LINE + STAGE_ROOM;

/// The path, its buffer, and how far the current drain has come.
pub(crate) struct OutboundWorker {
    outbound: Outbound,
    egress: UdpEgress,
    buffer: Buffer,
    batch: FrameBatch,
    /// The first row of the batch that is not encrypted yet.
    next: usize,
    keeps_tail: bool,
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
            next: 0,
            keeps_tail: false,
            blocked_on_ipv4: None,
        }
    }

    /// Reads one drain and routes it. Says whether there was anything to read.
    pub(crate) fn read(&mut self, shared: &Shared, now_ns: u64) -> io::Result<bool> {
        debug_assert!(!self.is_blocked());
        self.begin(now_ns);
        let Self { outbound, batch, buffer, .. } = self;
        let room = buffer.begin();
        let (mut frames, mut filled, mut emptied) = (0, 0, false);
        while filled < DRAIN_BYTES && frames < DRAIN_FRAMES {
            let offset = filled.next_multiple_of(LINE) + LINE - VIRTIO_HEADER_LENGTH;
            let place = &mut room[offset..offset + LONGEST];
            let Some(length) = shared.tun.read(place)? else {
                emptied = true;
                break;
            };
            outbound.ingress(batch, room, offset, length);
            filled = offset + length;
            frames += 1;
        }
        outbound.run_tun_aqm(batch, room, emptied);
        if frames == 0 {
            return Ok(false);
        }
        self.buffer.fill(filled);
        shared.capture.frames(Point::Tun, true, &self.batch, &self.buffer);
        self.outbound.route(&mut self.batch, &self.buffer);
        Ok(true)
    }

    /// Starts an empty drain, for what stages emitted.
    pub(crate) fn begin(&mut self, now_ns: u64) {
        self.batch.clear();
        self.batch.received_ns = now_ns;
        self.next = 0;
        // It is away while a stage does not return.
        if self.buffer.is_empty() {
            self.buffer = Buffer::new(BUFFER_LENGTH);
        }
        self.buffer.begin();
    }

    /// Lends the drain to the user's stages.
    pub(crate) fn lend(&mut self) -> StageBatch {
        let (batch, buffer) = (std::mem::take(&mut self.batch), std::mem::take(&mut self.buffer));
        StageBatch { batch, buffer, ..StageBatch::default() }
    }

    /// Takes it back.
    pub(crate) fn take_back(&mut self, mut stage_batch: StageBatch) {
        self.outbound.return_from_stages(&mut stage_batch);
        (self.batch, self.buffer) = (stage_batch.batch, stage_batch.buffer);
        self.next = 0;
    }

    /// Drops a drain that was lent: its stage did not return in time.
    pub(crate) fn abandon(&mut self, mut stage_batch: StageBatch) {
        self.outbound.return_from_stages(&mut stage_batch);
        self.outbound.drop_stalled(&mut stage_batch.batch);
        self.outbound.publish();
    }

    /// Encrypts and sends the drain, as far as the socket takes it.
    pub(crate) fn send(&mut self, shared: &Shared, now_ns: u64) {
        shared.capture.frames(Point::Stages, true, &self.batch, &self.buffer);
        self.encrypt_and_send(true, shared, now_ns);
    }

    /// Encrypts and sends what is left of the drain, as far as the socket takes it. Where `more` may be
    /// read at once, a batch with room is kept for it: of 64 KiB frames, 45 segments leave instead of 45
    /// and 3 (batches of 41 instead of 33 datagrams on average).
    fn encrypt_and_send(&mut self, more: bool, shared: &Shared, now_ns: u64) {
        loop {
            let staged = self.outbound.flush_staged(now_ns);
            if staged {
                self.next = self.outbound.encrypt(&self.batch, &self.buffer, self.next);
            }
            self.outbound.finish(now_ns);
            let is_last = staged && self.next == self.batch.frames.len();
            self.keeps_tail = more && is_last && self.outbound.gso().has_open_tail();
            let kept = usize::from(self.keeps_tail);
            self.blocked_on_ipv4 = match self.egress.flush(&mut self.outbound, kept, shared, now_ns)
            {
                Flush::Done => None,
                Flush::Blocked { is_ipv4 } => Some(is_ipv4),
            };
            if self.is_blocked() || is_last {
                break;
            }
        }
        self.outbound.publish();
        shared.publish_gso(self.outbound.gso().counts());
    }

    /// Carries out control's commands, in order; their datagrams leave with [`Self::flush`].
    pub(crate) fn handle_command(&mut self, command: OutboundCommand, now_ns: u64) {
        self.outbound.handle_command(command, now_ns);
    }

    /// Sends what commands or a writable socket made possible.
    pub(crate) fn flush(&mut self, shared: &Shared, now_ns: u64) {
        self.encrypt_and_send(false, shared, now_ns);
    }

    /// Whether a batch waits to be filled by what is read next.
    pub(crate) fn keeps_tail(&self) -> bool {
        self.keeps_tail && !self.is_blocked()
    }

    /// Whether a full socket holds the path up.
    pub(crate) fn is_blocked(&self) -> bool {
        self.blocked_on_ipv4.is_some()
    }

    /// The family of that socket.
    pub(crate) fn blocked_on_ipv4(&self) -> Option<bool> {
        self.blocked_on_ipv4
    }

    pub(crate) fn rebind(&mut self, sockets: Arc<Sockets>) {
        self.egress.rebind(sockets);
    }

    pub(crate) fn set_mtu(&mut self, mtu: usize) {
        self.outbound.set_mtu(mtu);
    }

    /// What the senders of dropped frames must be told, each a packet for the TUN.
    pub(crate) fn icmp_errors(&mut self) -> &mut Vec<Box<[u8]>> {
        self.outbound.icmp_errors()
    }

    pub(crate) fn reports(&mut self) -> &mut Vec<Report> {
        self.outbound.reports()
    }
}
