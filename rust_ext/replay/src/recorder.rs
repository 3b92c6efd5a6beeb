//! Both sides of the cipher in one pcapng: what was sent, and how the wire delivered it.
//!
//! In: packets as they are sealed, datagrams as they arrive or are dropped on the way. Out: the
//! packet on interface `inner`, the datagram on interface `outer`, both with the same packet id
//! (twice, where the wire doubled it); a fate is a comment. Directions are the hub's. With secrets,
//! Wireshark opens the file by itself. Order: of virtual time; on `outer` that of arrival. What
//! cannot be written is kept as an error until the end.

use std::io::{self, Write};

use pyfw_core::wireguard::device::KeyLog;

use crate::{
    capture::LinkType,
    outer::key_log_text,
    outer_header::outer_packet,
    pcapng::PcapngWriter,
    wire::{InFlight, Label},
};

/// The record's interfaces: inside the tunnel, and outside.
pub const INNER: &str = "inner";
/// See [`INNER`].
pub const OUTER: &str = "outer";
/// Their numbers.
const INNER_NUMBER: u32 = 0;
const OUTER_NUMBER: u32 = 1;

pub(crate) struct Recorder {
    writer: PcapngWriter<Box<dyn Write + Send>>,
    with_secrets: bool,
    id: u64,
    failed: Option<io::Error>,
}

impl Recorder {
    pub(crate) fn new(output: Box<dyn Write + Send>, with_secrets: bool) -> io::Result<Self> {
        let interfaces = [(INNER, LinkType::Raw), (OUTER, LinkType::Raw)];
        let writer = PcapngWriter::new(output, &interfaces, None)?;
        Ok(Self { writer, with_secrets, id: 0, failed: None })
    }

    pub(crate) fn secrets(&mut self, log: &KeyLog) {
        if self.with_secrets {
            let written = self.writer.secrets(&key_log_text(log));
            self.note(written);
        }
    }

    /// Writes the packet in a datagram, if there is one; returns the number of both.
    pub(crate) fn inner(&mut self, time_ns: u64, packet: Option<&[u8]>, by_hub: bool) -> u64 {
        self.id += 1;
        if let Some(packet) = packet {
            let written = self.writer.packet(INNER_NUMBER, time_ns, packet, self.id, !by_hub, None);
            self.note(written);
        }
        self.id
    }

    /// Writes a datagram.
    pub(crate) fn outer(&mut self, time_ns: u64, datagram: &InFlight) {
        let Label { id, by_hub, ref fates } = datagram.label;
        let comment = (!fates.is_empty()).then(|| fates.join(", "));
        let InFlight { source, destination, ds, bytes, .. } = datagram;
        let packet = outer_packet(*source, *destination, *ds, bytes, bytes.len());
        let written =
            self.writer.packet(OUTER_NUMBER, time_ns, &packet, id, !by_hub, comment.as_deref());
        self.note(written);
    }

    pub(crate) fn finish(self) -> io::Result<()> {
        match self.failed {
            Some(error) => Err(error),
            None => self.writer.finish().map(drop),
        }
    }

    fn note(&mut self, written: io::Result<()>) {
        if let (None, Err(error)) = (&self.failed, written) {
            self.failed = Some(error);
        }
    }
}
