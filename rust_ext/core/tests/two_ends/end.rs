//! One end of a virtual wire: device, both paths and a test cipher, driven by hand.

use std::{net::SocketAddr, sync::Arc};

use chacha20poly1305::{
    ChaCha20Poly1305, KeyInit, Tag,
    aead::{AeadInOut, inout::InOutBuf},
};
use pyfw_core::{
    aead::{Aead, Slot, TAG_LENGTH, TransportKey},
    counters::{DatagramCounts, InboundCounts, OutboundCounts},
    frame::{Frame, FrameBatch, Slice},
    inbound::{
        Inbound, coalesce::CoalesceOptions, tun_egress::virtio_header, udp_ingress::Received,
    },
    outbound::{Outbound, gso_egress::GsoEgress},
    time::Now,
    wireguard::{
        commands::{Command, Report},
        device::{Device, Entropy, PeerChange},
        path::Path,
    },
};

/// A batch on the wire.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    pub(crate) to: SocketAddr,
    pub(crate) ds: u8,
    pub(crate) lengths: Vec<usize>,
    pub(crate) payload: Vec<u8>,
}

/// A frame as the TUN would get it: virtio-net header, then the packet.
pub(crate) type Written = ([u8; 10], Vec<u8>, u16);

pub(crate) struct End {
    /// How long each datagram waited in the socket.
    pub(crate) waits_ns: u64,
    pub(crate) device: Device,
    pub(crate) outbound: Outbound,
    pub(crate) inbound: Inbound,
    pub(crate) address: SocketAddr,
    pub(crate) now: Now,
    pub(crate) sent: Vec<Batch>,
    pub(crate) written: Vec<Written>,
    /// What the host sends as soon as something was written, before control has heard of it.
    pub(crate) answers: Vec<Vec<u8>>,
    pub(crate) outbound_counts: Arc<OutboundCounts>,
    pub(crate) inbound_counts: Arc<InboundCounts>,
    pub(crate) datagram_counts: Arc<DatagramCounts>,
}

impl End {
    pub(crate) fn new(address: &str, key: [u8; 32], seed: u64, start: Now) -> Self {
        let (o, i, d) = (Arc::default(), Arc::default(), Arc::default());
        let gso = GsoEgress::new(64, 64);
        let options = CoalesceOptions { tcp4: true, tcp6: true, udp: true, psh_closes: false };
        let mut end = Self {
            waits_ns: 0,
            device: Device::new(Box::new(Counting(seed))),
            outbound: Outbound::new(gso, Box::new(TestCipher), 1420, Arc::clone(&o)),
            inbound: Inbound::new(Box::new(TestCipher), options, 7, Arc::clone(&i), Arc::clone(&d)),
            address: address.parse().unwrap(),
            now: start,
            sent: Vec::new(),
            written: Vec::new(),
            answers: Vec::new(),
            outbound_counts: o,
            inbound_counts: i,
            datagram_counts: d,
        };
        end.device.set_private_key(Some(key), start);
        end.pump();
        end
    }

    pub(crate) fn set_peer(&mut self, change: PeerChange) {
        self.device.set_peer(change, self.now);
        self.pump();
    }

    /// One drain of the TUN: frames, each behind its virtio-net header.
    pub(crate) fn tun_drain(&mut self, frames: &[Vec<u8>]) {
        self.outbound_drain(frames);
        self.pump();
    }

    fn outbound_drain(&mut self, frames: &[Vec<u8>]) {
        let mut buffer = Vec::new();
        let mut batch = FrameBatch { received_ns: self.now.boot_ns, ..FrameBatch::default() };
        let mut places = Vec::new();
        for frame in frames {
            places.push((buffer.len(), frame.len()));
            buffer.extend_from_slice(frame);
        }
        for (offset, length) in places {
            self.outbound.ingress(&mut batch, &buffer, offset, length);
        }
        self.outbound.route(&mut batch, &buffer);
        let mut next = 0;
        loop {
            next = self.outbound.encrypt(&batch, &buffer, next);
            self.send();
            if next == batch.frames.len() {
                break;
            }
        }
        self.refuse();
    }

    /// Writes what the senders of dropped packets are told.
    fn refuse(&mut self) {
        for packet in std::mem::take(self.outbound.icmp_errors()) {
            let frame = self.inbound.inject(&packet).unwrap();
            self.written.push((virtio_header(&frame), packet.into_vec(), 1));
            self.inbound.complete(&frame, None);
        }
        self.inbound.publish();
    }

    /// One drain of the socket.
    pub(crate) fn udp_drain(&mut self, batches: &[(SocketAddr, Batch)]) {
        let mut buffer = Vec::new();
        let mut received = Vec::new();
        for (from, batch) in batches {
            received.push(Received {
                offset: buffer.len() as u32,
                length: batch.payload.len() as u32,
                segment_size: batch.lengths[0] as u32,
                from: Path::to(*from),
                ds: batch.ds,
                truncated: false,
                waited_ns: self.waits_ns,
            });
            buffer.extend_from_slice(&batch.payload);
        }
        let mut frames = FrameBatch { received_ns: self.now.boot_ns, ..FrameBatch::default() };
        let mut handshakes = Vec::new();
        self.inbound.process(&received, &mut buffer, &mut frames, &mut handshakes);
        for command in self.inbound.outbound_commands().drain(..) {
            self.outbound.handle_command(command, self.now.boot_ns);
        }
        for frame in &frames.frames {
            let bytes = gather(frame, &frames, &buffer);
            self.written.push((virtio_header(frame), bytes, frame.segments));
            self.inbound.complete(frame, None);
        }
        self.inbound.publish();
        if !frames.frames.is_empty() {
            let answers = std::mem::take(&mut self.answers);
            self.outbound_drain(&answers);
        }
        for handshake in handshakes {
            let Slice { offset, length } = handshake.bytes;
            let bytes = &buffer[offset as usize..(offset + length) as usize];
            let _ = self.device.handle_datagram(bytes, handshake.from, 0, self.now);
        }
        self.pump();
    }

    /// Lets time pass up to `now`.
    pub(crate) fn wait_until(&mut self, boot_ns: u64) {
        while let Some(at) = self.device.poll_timeout().filter(|&at| at <= boot_ns) {
            let at = at.max(self.now.boot_ns);
            self.now.unix_ns += at - self.now.boot_ns;
            self.now.boot_ns = at;
            self.device.handle_timeout(self.now);
            self.pump();
        }
        self.now.unix_ns += boot_ns - self.now.boot_ns;
        self.now.boot_ns = boot_ns;
    }

    /// Carries everything between device and paths until nothing moves.
    pub(crate) fn pump(&mut self) {
        loop {
            let mut reports: Vec<Report> = self.outbound.reports().drain(..).collect();
            reports.append(self.inbound.reports());
            let quiet = reports.is_empty();
            for report in reports {
                self.device.handle_report(report, self.now);
            }
            let mut commands = 0;
            while let Some(command) = self.device.poll_command() {
                commands += 1;
                match command {
                    Command::Outbound(c) => self.outbound.handle_command(c, self.now.boot_ns),
                    Command::Inbound(c) => self.inbound.handle_command(c),
                }
            }
            while !self.outbound.flush_staged(self.now.boot_ns) {
                self.send();
            }
            self.send();
            while let Some(transmit) = self.device.poll_transmit() {
                let payload = transmit.bytes().to_vec();
                let (to, lengths) = (transmit.path.destination, vec![payload.len()]);
                self.sent.push(Batch { to, ds: transmit.ds, lengths, payload });
            }
            while self.device.poll_event().is_some() {}
            if quiet && commands == 0 {
                break;
            }
        }
    }

    fn send(&mut self) {
        self.outbound.finish(self.now.boot_ns);
        while let Some((batch, payload)) = self.outbound.gso().oldest() {
            let target = batch.target();
            self.sent.push(Batch {
                to: target.path.destination,
                ds: target.ds,
                lengths: batch.lengths().collect(),
                payload: payload.to_vec(),
            });
            self.outbound.complete(usize::MAX, None);
        }
        self.outbound.publish();
    }

    /// The conservation law, exact.
    pub(crate) fn assert_conserved(&self) {
        let out = self.outbound_counts.read();
        assert_eq!(out.entered + out.created, out.left + out.queued + out.dropped(), "{out:?}");
        let inn = self.inbound_counts.read();
        assert_eq!(inn.entered + inn.created, inn.left + inn.queued + inn.dropped(), "{inn:?}");
        let d = self.datagram_counts.read();
        let kinds = d.data + d.handshakes + d.cookies + d.keepalives + d.others;
        assert_eq!(d.received, kinds + d.dropped(), "{d:?}");
        assert_eq!(d.data, inn.entered);
    }
}

fn gather(frame: &Frame, batch: &FrameBatch, buffer: &[u8]) -> Vec<u8> {
    match frame.slices {
        0 => frame.bytes(buffer).to_vec(),
        n => batch.slices[frame.first_slice as usize..][..n as usize]
            .iter()
            .flat_map(|s| &buffer[s.offset as usize..(s.offset + s.length) as usize])
            .copied()
            .collect(),
    }
}

/// Bytes that are never the same twice.
struct Counting(u64);

impl Entropy for Counting {
    fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            // SplitMix64 (Steele, Lea, Flood 2014).
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            *byte = (z ^ (z >> 31)) as u8;
        }
    }
}

/// RustCrypto's cipher behind the batch trait.
struct TestCipher;

impl Aead for TestCipher {
    fn name(&self) -> &'static str {
        "test"
    }

    fn seal(&mut self, key: &TransportKey, buffer: &mut [u8], slots: &[Slot]) {
        let cipher = ChaCha20Poly1305::new((&**key).into());
        for slot in slots {
            let (at, length) = (slot.offset as usize, slot.length as usize);
            let text = InOutBuf::from(&mut buffer[at..at + length]);
            let tag = cipher.encrypt_inout_detached(&nonce(slot).into(), &[], text).unwrap();
            buffer[at + length..][..TAG_LENGTH].copy_from_slice(&tag);
        }
    }

    fn open(&mut self, key: &TransportKey, buffer: &mut [u8], slots: &[Slot], opened: &mut [bool]) {
        let cipher = ChaCha20Poly1305::new((&**key).into());
        for (slot, opened) in slots.iter().zip(opened) {
            let (at, length) = (slot.offset as usize, slot.length as usize);
            let tag = Tag::try_from(&buffer[at + length..][..TAG_LENGTH]).unwrap();
            let text = InOutBuf::from(&mut buffer[at..at + length]);
            *opened = cipher.decrypt_inout_detached(&nonce(slot).into(), &[], text, &tag).is_ok();
        }
    }
}

fn nonce(slot: &Slot) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&slot.counter.to_le_bytes());
    nonce
}
