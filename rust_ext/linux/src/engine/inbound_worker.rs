//! The inbound path on its descriptors: datagrams in, TUN writes out.
//!
//! In: one drain of a socket at a time (up to 4 × 64 KiB). Out: frames, written with their
//! virtio-net header; handshake messages, to control. Drops: see the stages; handshakes where
//! 1,024 wait; frames that the kernel refuses. A merged frame that it refuses is written again in
//! segments, and its kind is no longer merged. Order: frames are written in the batch's order.
//!
//! A drain is `receive`, `open`, a stage_batch to the user's stages and back where there are any, and `write`.

use std::{io, sync::atomic::Ordering::Relaxed};

use pyfw_core::{
    buffer::{Buffer, STAGE_ROOM},
    drop_reason::{DatagramDrop, InboundDrop},
    frame::{Frame, FrameBatch, Slice},
    inbound::{
        Inbound,
        coalesce::CoalesceOptions,
        tun_egress::virtio_header,
        udp_ingress::{Handshake, Received},
    },
    packet::{self, pieces::pieces, split::Segments},
    stage_api::StageBatch,
    wireguard::commands::{InboundCommand, OutboundCommand, Report},
};

use super::{
    capture::{Point, local_address},
    events::{Severity, Value},
    failure_log::FailureLog,
    shared::{ControlMail, Shared},
};
use crate::sys::udp::{RECEIVE_BUFFER_LENGTH, Receiver, UdpSocket};

/// Handshake messages that wait for control: MAX_QUEUED_INCOMING_HANDSHAKES is 4096 in Linux's
/// messages.h, QueueHandshakeSize 1024 in wireguard-go; the smaller bounds memory better.
pub(crate) const HANDSHAKE_QUEUE: usize = 1024;

/// A drain, and what stages add to it.
const BUFFER_LENGTH: usize = RECEIVE_BUFFER_LENGTH + STAGE_ROOM;

/// The path and its buffers.
pub(crate) struct InboundWorker {
    inbound: Inbound,
    receiver: Receiver,
    buffer: Buffer,
    received: Vec<Received>,
    handshakes: Vec<Handshake>,
    batch: FrameBatch,
    options: CoalesceOptions,
    /// The TUN takes nothing.
    failure_log: FailureLog,
    /// The kernel's running count of datagrams dropped, as last seen for IPv4 and IPv6.
    socket_drops: [u32; 2],
}

impl InboundWorker {
    pub(crate) fn new(inbound: Inbound, options: CoalesceOptions) -> Self {
        Self {
            inbound,
            receiver: Receiver::new(),
            buffer: Buffer::new(BUFFER_LENGTH),
            received: Vec::new(),
            handshakes: Vec::new(),
            batch: FrameBatch::default(),
            options,
            failure_log: FailureLog::default(),
            socket_drops: [0; 2],
        }
    }

    /// Receives one drain. Says whether there was anything.
    ///
    /// `in_use`: it is not one that was given up, whose drops nobody counts any more.
    pub(crate) fn receive(
        &mut self,
        socket: &UdpSocket,
        in_use: bool,
        shared: &Shared,
    ) -> io::Result<bool> {
        self.received.clear();
        // It is away while a stage does not return.
        if self.buffer.is_empty() {
            self.buffer = Buffer::new(BUFFER_LENGTH);
        }
        let buffer = self.buffer.begin();
        let count = self.receiver.receive(socket, buffer, &mut self.received)?;
        self.buffer.fill(RECEIVE_BUFFER_LENGTH);
        if in_use {
            self.note_socket_drops(socket, shared);
        }
        let local_port = socket.port();
        shared.capture.datagrams(
            false,
            self.received.iter().map(|r| {
                let bytes = &self.buffer[r.offset as usize..(r.offset + r.length) as usize];
                let to = local_address(&r.from, local_port);
                (r.from.destination, to, r.ds, r.segment_size as usize, bytes)
            }),
        );
        Ok(count != 0)
    }

    /// Opens what was received last.
    pub(crate) fn open(&mut self, shared: &Shared, now_ns: u64) {
        self.begin(now_ns);
        self.handshakes.clear();
        let buffer = self.buffer.change(0, RECEIVE_BUFFER_LENGTH as u32);
        self.inbound.process(&self.received, buffer, &mut self.batch, &mut self.handshakes);
        if !self.handshakes.is_empty() {
            self.hand_over(shared);
        }
    }

    /// Starts an empty drain, for what stages emitted.
    pub(crate) fn begin(&mut self, now_ns: u64) {
        self.batch.clear();
        self.batch.received_ns = now_ns;
        if self.buffer.is_empty() {
            self.buffer = Buffer::new(BUFFER_LENGTH);
        }
    }

    /// Lends the drain to the user's stages.
    pub(crate) fn lend(&mut self) -> StageBatch {
        let (batch, buffer) = (std::mem::take(&mut self.batch), std::mem::take(&mut self.buffer));
        StageBatch { batch, buffer, ..StageBatch::default() }
    }

    /// Takes it back.
    pub(crate) fn take_back(&mut self, mut stage_batch: StageBatch) {
        self.inbound.return_from_stages(&mut stage_batch);
        (self.batch, self.buffer) = (stage_batch.batch, stage_batch.buffer);
    }

    /// Drops a drain that was lent: its stage did not return in time.
    pub(crate) fn abandon(&mut self, mut stage_batch: StageBatch) {
        self.inbound.return_from_stages(&mut stage_batch);
        self.inbound.drop_stalled(&mut stage_batch.batch);
        self.inbound.publish();
    }

    /// Writes the drain.
    pub(crate) fn write(&mut self, shared: &Shared) -> io::Result<()> {
        shared.capture.frames(Point::Tun, false, &self.batch, &self.buffer);
        let written = self.write_frames(shared);
        self.inbound.publish();
        written
    }

    fn hand_over(&mut self, shared: &Shared) {
        let room = HANDSHAKE_QUEUE.saturating_sub(shared.control.waiting());
        let lost = self.handshakes.len().saturating_sub(room);
        self.inbound.datagrams().drop(DatagramDrop::HandshakeOverflow, lost as u64);
        for handshake in &self.handshakes[self.handshakes.len() - lost..] {
            // They were counted by type when they were sorted; a message is counted once.
            let tally = self.inbound.datagrams();
            match handshake.bytes.length {
                64 => tally.cookies -= 1,
                _ => tally.handshakes -= 1,
            }
        }
        self.handshakes.truncate(room);
        let buffer = &self.buffer;
        shared.control.post(self.handshakes.drain(..).map(|Handshake { bytes, from }| {
            let start = bytes.offset as usize;
            let bytes = buffer[start..start + bytes.length as usize].into();
            ControlMail::Handshake { bytes, from }
        }));
    }

    fn write_frames(&mut self, shared: &Shared) -> io::Result<()> {
        let frames = std::mem::take(&mut self.batch.frames);
        let mut ended = Ok(());
        for frame in &frames {
            let mut whole = [Slice { offset: 0, length: 0 }];
            let slices = pieces(frame, &self.batch.slices, &mut whole);
            let header = virtio_header(frame);
            let refused = match shared.tun.write(&header, &self.buffer, slices) {
                Ok(()) => {
                    self.note_written(shared);
                    None
                }
                Err(error) if error.raw_os_error() == Some(libc::EBADFD) => {
                    ended = Err(error);
                    Some(InboundDrop::WriteError)
                }
                Err(error) if error.raw_os_error() == Some(libc::EINVAL) && frame.segments > 1 => {
                    let bytes = gather(slices, &self.buffer);
                    self.give_up_merging(frame, shared, &error);
                    self.write_segments(frame, &bytes, shared);
                    continue;
                }
                Err(error) => {
                    self.note_not_written(frame, shared, &error);
                    Some(InboundDrop::WriteError)
                }
            };
            self.inbound.complete(frame, refused);
        }
        self.batch.frames = frames;
        ended
    }

    /// Writes a refused frame as its segments.
    fn write_segments(&mut self, frame: &Frame, bytes: &[u8], shared: &Shared) {
        let segments = Segments::new(frame, bytes);
        let mut segment = Vec::new();
        for i in 0..segments.count() {
            segment.resize(segments.length(i), 0);
            segments.write(i, bytes, &mut segment);
            let slice = [Slice { offset: 0, length: segment.len() as u32 }];
            let written = packet::parse(&segment, 0)
                .ok()
                .and_then(|alone| shared.tun.write(&virtio_header(&alone), &segment, &slice).ok());
            let refused = written.is_none().then_some(InboundDrop::WriteError);
            self.inbound.complete(&Frame { segments: 1, ..*frame }, refused);
        }
    }

    /// Writes packets that outbound made for the senders of what it dropped.
    pub(crate) fn answer(&mut self, packets: &[Box<[u8]>], shared: &Shared) {
        for packet in packets {
            let Some(frame) = self.inbound.inject(packet) else { continue };
            let batch = FrameBatch { frames: vec![frame], ..FrameBatch::default() };
            shared.capture.frames(Point::Tun, false, &batch, packet);
            let whole = [Slice { offset: 0, length: frame.length }];
            let written = shared.tun.write(&virtio_header(&frame), packet, &whole);
            self.inbound.complete(&frame, written.is_err().then_some(InboundDrop::WriteError));
        }
        self.inbound.publish();
    }

    fn note_not_written(&mut self, frame: &Frame, shared: &Shared, error: &io::Error) {
        if self.failure_log.fail(frame.segments.into(), self.batch.received_ns) {
            let fields = [("error", Value::Text(error.to_string()))];
            shared.emit_event(Severity::Warning, "tun.write_failed", fields);
        }
    }

    fn note_written(&mut self, shared: &Shared) {
        if self.failure_log.is_on() {
            if let Some(failed) = self.failure_log.end() {
                let fields = [("packets", Value::Number(failed as i64))];
                shared.emit_event(Severity::Info, "tun.write_recovered", fields);
            }
        }
    }

    fn give_up_merging(&mut self, frame: &Frame, shared: &Shared, error: &io::Error) {
        let kind = match (frame.protocol, frame.version) {
            (17, _) => {
                self.options.udp = false;
                "udp"
            }
            (_, 4) => {
                self.options.tcp4 = false;
                "tcp4"
            }
            _ => {
                self.options.tcp6 = false;
                "tcp6"
            }
        };
        self.inbound.set_coalesce(self.options);
        let fields =
            [("kind", Value::Text(kind.into())), ("error", Value::Text(error.to_string()))];
        shared.emit_event(Severity::Warning, "tun.merging_given_up", fields);
    }

    fn note_socket_drops(&mut self, socket: &UdpSocket, shared: &Shared) {
        let family = usize::from(!socket.is_ipv4());
        let total = self.receiver.kernel_drops();
        let more = total.wrapping_sub(self.socket_drops[family]);
        if total != 0 && more != 0 {
            self.socket_drops[family] = total;
            shared.socket_drops.fetch_add(u64::from(more), Relaxed);
        }
    }

    pub(crate) fn handle_command(&mut self, command: InboundCommand) {
        self.inbound.handle_command(command);
    }

    /// New sockets count their drops from 0.
    pub(crate) fn rebind(&mut self) {
        self.socket_drops = [0; 2];
    }

    /// What the outbound path must be told before the drain is written.
    pub(crate) fn outbound_commands(&mut self) -> &mut Vec<OutboundCommand> {
        self.inbound.outbound_commands()
    }

    pub(crate) fn reports(&mut self) -> &mut Vec<Report> {
        self.inbound.reports()
    }
}

fn gather(slices: &[Slice], buffer: &[u8]) -> Vec<u8> {
    slices
        .iter()
        .flat_map(|s| &buffer[s.offset as usize..(s.offset + s.length) as usize])
        .copied()
        .collect()
}
