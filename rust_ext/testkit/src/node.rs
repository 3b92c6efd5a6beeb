//! A node on a virtual wire: device, both paths and a test cipher, driven by the test.

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
    packet::virtio::VIRTIO_HEADER_LENGTH,
    time::Now,
    wireguard::{
        commands::{Command, Report},
        device::{Device, Entropy, PeerChange},
        path::Path,
    },
};

/// A batch on the wire.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Its destination.
    pub to: SocketAddr,
    /// The DS byte of its datagrams.
    pub ds: u8,
    /// The length of each datagram.
    pub lengths: Vec<usize>,
    /// The datagrams.
    pub payload: Vec<u8>,
}

/// A frame that was written to the TUN.
pub struct WrittenFrame {
    /// Its virtio-net header.
    pub header: [u8; VIRTIO_HEADER_LENGTH],
    /// Its packet.
    pub packet: Vec<u8>,
    /// The number of its segments.
    pub segments: u16,
}

/// The node.
pub struct Node {
    /// Control.
    pub device: Device,
    /// The outbound path.
    pub outbound: Outbound,
    /// The inbound path.
    pub inbound: Inbound,
    /// The address of its socket.
    pub address: SocketAddr,
    /// Its clocks.
    pub now: Now,
    /// Batches that were sent and not delivered yet.
    pub sent: Vec<Batch>,
    /// How long each received datagram has waited in the socket.
    pub waited_ns: u64,
    /// Frames that were written to the TUN.
    pub written: Vec<WrittenFrame>,
    /// Reads from the TUN that follow the next write at once, before control handles its reports.
    pub answers: Vec<Vec<u8>>,
    /// Published counts of the outbound path.
    pub outbound_counts: Arc<OutboundCounts>,
    /// Published counts of the inbound path.
    pub inbound_counts: Arc<InboundCounts>,
    /// Published counts of datagrams.
    pub datagram_counts: Arc<DatagramCounts>,
}

impl Node {
    /// Creates a node with a private key; `seed` determines its randomness.
    pub fn new(address: &str, key: [u8; 32], seed: u64, start: Now) -> Self {
        let (o, i, d) = (Arc::default(), Arc::default(), Arc::default());
        let gso = GsoEgress::new(64, 64);
        let options = CoalesceOptions { tcp4: true, tcp6: true, udp: true, psh_closes: false };
        let mut node = Self {
            device: Device::new(Box::new(SeededEntropy(seed))),
            outbound: Outbound::new(gso, Box::new(TestCipher), 1420, Arc::clone(&o)),
            inbound: Inbound::new(Box::new(TestCipher), options, 7, Arc::clone(&i), Arc::clone(&d)),
            address: address.parse().unwrap(),
            now: start,
            sent: Vec::new(),
            waited_ns: 0,
            written: Vec::new(),
            answers: Vec::new(),
            outbound_counts: o,
            inbound_counts: i,
            datagram_counts: d,
        };
        node.device.set_private_key(Some(key), start);
        node.pump();
        node
    }

    /// Adds or changes a peer.
    pub fn set_peer(&mut self, change: PeerChange) {
        self.device.set_peer(change, self.now);
        self.pump();
    }

    /// Processes one drain of the TUN; each read begins with its virtio-net header.
    pub fn tun_drain(&mut self, frames: &[Vec<u8>]) {
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
        self.write_icmp_errors();
    }

    fn write_icmp_errors(&mut self) {
        for packet in std::mem::take(self.outbound.icmp_errors()) {
            let frame = self.inbound.inject(&packet).unwrap();
            let header = virtio_header(&frame);
            self.written.push(WrittenFrame { header, packet: packet.into_vec(), segments: 1 });
            self.inbound.complete(&frame, None);
        }
        self.inbound.publish();
    }

    /// Processes one drain of the socket: batches, each with its sender.
    pub fn udp_drain(&mut self, batches: &[(SocketAddr, Batch)]) {
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
                waited_ns: self.waited_ns,
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
            let packet = gather(frame, &frames, &buffer);
            let header = virtio_header(frame);
            self.written.push(WrittenFrame { header, packet, segments: frame.segments });
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

    /// Lets time pass until `boot_ns`.
    pub fn wait_until(&mut self, boot_ns: u64) {
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

    /// Passes reports and commands between device and paths, and sends, until there is nothing left to do.
    pub fn pump(&mut self) {
        loop {
            let mut reports: Vec<Report> = self.outbound.reports().drain(..).collect();
            reports.append(self.inbound.reports());
            let mut is_idle = reports.is_empty();
            for report in reports {
                self.device.handle_report(report, self.now);
            }
            while let Some(command) = self.device.poll_command() {
                is_idle = false;
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
            if is_idle {
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

    /// Asserts that every packet and datagram is accounted for.
    pub fn assert_conserved(&self) {
        let outbound = self.outbound_counts.read();
        assert_eq!(
            outbound.entered + outbound.created,
            outbound.left + outbound.queued + outbound.dropped(),
            "{outbound:?}"
        );
        let inbound = self.inbound_counts.read();
        assert_eq!(
            inbound.entered + inbound.created,
            inbound.left + inbound.queued + inbound.dropped(),
            "{inbound:?}"
        );
        let datagrams = self.datagram_counts.read();
        let accepted = datagrams.data
            + datagrams.handshakes
            + datagrams.cookies
            + datagrams.keepalives
            + datagrams.others;
        assert_eq!(datagrams.received, accepted + datagrams.dropped(), "{datagrams:?}");
        assert_eq!(datagrams.data, inbound.entered);
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

/// Reproducible random bytes.
struct SeededEntropy(u64);

impl Entropy for SeededEntropy {
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

/// RustCrypto's ChaCha20-Poly1305.
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
