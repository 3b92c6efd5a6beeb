//! The inbound path on its descriptors: datagrams in, TUN writes out.
//!
//! A drain (up to 4 × 64 KiB of one socket) is `receive`, `decrypt`, the user's stages if there are any, and
//! `finish`, which writes the frames in the batch's order. Handshake messages go to the control thread;
//! beyond 1,024 queued ones they are dropped. If the kernel refuses a merged frame, that frame is written
//! again in segments, and frames of its kind are no longer merged.

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
    data_plane::Worker,
    events::{Severity, Value},
    failure_log::FailureLog,
    shared::{ControlMessage, Shared},
};
use crate::sys::udp::{RECEIVE_BUFFER_LENGTH, Receiver, UdpSocket};

/// Messages queued for the control thread at most: MAX_QUEUED_INCOMING_HANDSHAKES is 4096 in Linux's
/// messages.h, QueueHandshakeSize is 1024 in wireguard-go; the smaller one bounds memory better.
const HANDSHAKE_QUEUE: usize = 1024;

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
    /// Of writes to the TUN.
    failure_log: FailureLog,
    /// The kernel's running counts of dropped datagrams when last seen, for IPv4 and IPv6.
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

    /// Receives one drain. Returns whether there was a datagram.
    ///
    /// `in_use`: the socket is not retired. The kernel's drops at a retired socket are not counted.
    pub(crate) fn receive(
        &mut self,
        socket: &UdpSocket,
        in_use: bool,
        shared: &Shared,
    ) -> io::Result<bool> {
        self.received.clear();
        self.ensure_buffer();
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

    /// Decrypts what was received last, and posts handshake messages to the control thread.
    pub(crate) fn decrypt(&mut self, shared: &Shared, now_ns: u64) {
        self.begin(now_ns);
        self.handshakes.clear();
        let buffer = self.buffer.change(0, RECEIVE_BUFFER_LENGTH as u32);
        self.inbound.process(&self.received, buffer, &mut self.batch, &mut self.handshakes);
        if !self.handshakes.is_empty() {
            self.post_handshakes(shared);
        }
    }

    fn ensure_buffer(&mut self) {
        // A stalled stage has the buffer.
        if self.buffer.is_empty() {
            self.buffer = Buffer::new(BUFFER_LENGTH);
        }
    }

    fn post_handshakes(&mut self, shared: &Shared) {
        let room = HANDSHAKE_QUEUE.saturating_sub(shared.control.len());
        let count = room.min(self.handshakes.len());
        let dropped = &self.handshakes[count..];
        let tally = self.inbound.datagrams();
        tally.drop(DatagramDrop::HandshakeOverflow, dropped.len() as u64);
        for handshake in dropped {
            // Classification counted them by type; a datagram is counted once.
            match handshake.bytes.length {
                64 => tally.cookies -= 1,
                _ => tally.handshakes -= 1,
            }
        }
        self.handshakes.truncate(count);
        let buffer = &self.buffer;
        shared.control.post(self.handshakes.drain(..).map(|Handshake { bytes, from }| {
            let start = bytes.offset as usize;
            let bytes = buffer[start..start + bytes.length as usize].into();
            ControlMessage::Handshake { bytes, from }
        }));
    }

    fn write_frames(&mut self, shared: &Shared) -> io::Result<()> {
        let frames = std::mem::take(&mut self.batch.frames);
        let mut result = Ok(());
        for frame in &frames {
            let mut whole = [Slice { offset: 0, length: 0 }];
            let slices = pieces(frame, &self.batch.slices, &mut whole);
            let header = virtio_header(frame);
            let dropped = match shared.tun.write(&header, &self.buffer, slices) {
                Ok(()) => {
                    self.note_write_success(shared);
                    None
                }
                Err(error) if error.raw_os_error() == Some(libc::EBADFD) => {
                    result = Err(error);
                    Some(InboundDrop::WriteError)
                }
                Err(error) if error.raw_os_error() == Some(libc::EINVAL) && frame.segments > 1 => {
                    let bytes = gather(slices, &self.buffer);
                    self.disable_coalescing(frame, shared, &error);
                    self.write_segments(frame, &bytes, shared);
                    continue;
                }
                Err(error) => {
                    self.note_write_failure(frame, shared, &error);
                    Some(InboundDrop::WriteError)
                }
            };
            self.inbound.complete(frame, dropped);
        }
        self.batch.frames = frames;
        result
    }

    /// Writes a refused frame as its segments.
    fn write_segments(&mut self, frame: &Frame, bytes: &[u8], shared: &Shared) {
        let segments = Segments::new(frame, bytes);
        let mut segment = Vec::new();
        for i in 0..segments.count() {
            segment.resize(segments.length(i), 0);
            segments.write(i, bytes, &mut segment);
            let slice = [Slice { offset: 0, length: segment.len() as u32 }];
            let written = packet::parse(&segment, 0).ok().and_then(|parsed| {
                shared.tun.write(&virtio_header(&parsed), &segment, &slice).ok()
            });
            let dropped = written.is_none().then_some(InboundDrop::WriteError);
            self.inbound.complete(&Frame { segments: 1, ..*frame }, dropped);
        }
    }

    /// Writes ICMP errors, which the outbound path made for the senders of frames it dropped.
    pub(crate) fn write_icmp_errors(&mut self, packets: &[Box<[u8]>], shared: &Shared) {
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

    fn note_write_failure(&mut self, frame: &Frame, shared: &Shared, error: &io::Error) {
        if self.failure_log.fail(frame.segments.into(), self.batch.received_ns) {
            let fields = [("error", Value::Text(error.to_string()))];
            shared.emit_event(Severity::Warning, "tun.write_failed", fields);
        }
    }

    fn note_write_success(&mut self, shared: &Shared) {
        if self.failure_log.is_failing() {
            if let Some(failures) = self.failure_log.recover() {
                let fields = [("packets", Value::Number(failures as i64))];
                shared.emit_event(Severity::Info, "tun.write_recovered", fields);
            }
        }
    }

    fn disable_coalescing(&mut self, frame: &Frame, shared: &Shared, error: &io::Error) {
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
        shared.emit_event(Severity::Warning, "tun.coalescing_disabled", fields);
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

    /// Returns the commands for the outbound path that follow from the last drain.
    pub(crate) fn outbound_commands(&mut self) -> &mut Vec<OutboundCommand> {
        self.inbound.outbound_commands()
    }

    pub(crate) fn reports(&mut self) -> &mut Vec<Report> {
        self.inbound.reports()
    }
}

impl Worker for InboundWorker {
    fn begin(&mut self, now_ns: u64) {
        self.batch.clear();
        self.batch.received_ns = now_ns;
        self.ensure_buffer();
    }

    fn take_batch(&mut self) -> StageBatch {
        let (batch, buffer) = (std::mem::take(&mut self.batch), std::mem::take(&mut self.buffer));
        StageBatch { batch, buffer, ..StageBatch::default() }
    }

    fn restore_batch(&mut self, mut batch: StageBatch) {
        self.inbound.return_from_stages(&mut batch);
        (self.batch, self.buffer) = (batch.batch, batch.buffer);
    }

    fn finish(&mut self, shared: &Shared, _: u64) -> io::Result<()> {
        shared.capture.frames(Point::Tun, false, &self.batch, &self.buffer);
        let result = self.write_frames(shared);
        self.inbound.publish();
        result
    }

    fn drop_stalled(&mut self, mut batch: StageBatch) {
        self.inbound.return_from_stages(&mut batch);
        self.inbound.drop_stalled(&mut batch.batch);
        self.inbound.publish();
    }
}

fn gather(slices: &[Slice], buffer: &[u8]) -> Vec<u8> {
    slices
        .iter()
        .flat_map(|s| &buffer[s.offset as usize..(s.offset + s.length) as usize])
        .copied()
        .collect()
}
