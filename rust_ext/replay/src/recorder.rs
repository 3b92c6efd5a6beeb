//! Records both sides of the cipher in one pcapng.
//!
//! The inner packet goes to interface `inner` when it is sealed, the datagram to `outer` when it arrives or
//! is dropped; both carry the same packet ID. Wire events are comments. Directions are those of the hub. With
//! secrets, Wireshark decrypts the file without further keys. Write errors are kept until
//! [`Recorder::finish`].

use std::io::{self, Write};

use pyfw_core::wireguard::device::KeyLog;

use crate::{
    capture::LinkType,
    outer::key_log_text,
    outer_header::outer_packet,
    pcapng::PcapngWriter,
    wire::{InFlight, RecordLabel},
};

/// Name of the interface that holds inner packets.
pub const INNER: &str = "inner";
/// Name of the interface that holds datagrams.
pub const OUTER: &str = "outer";
const INNER_NUMBER: u32 = 0;
const OUTER_NUMBER: u32 = 1;

pub(crate) struct Recorder {
    writer: PcapngWriter<Box<dyn Write + Send>>,
    with_secrets: bool,
    last_id: u64,
    error: Option<io::Error>,
}

impl Recorder {
    pub(crate) fn new(output: Box<dyn Write + Send>, with_secrets: bool) -> io::Result<Self> {
        let interfaces = [(INNER, LinkType::Raw), (OUTER, LinkType::Raw)];
        let writer = PcapngWriter::new(output, &interfaces, None)?;
        Ok(Self { writer, with_secrets, last_id: 0, error: None })
    }

    pub(crate) fn write_keys(&mut self, log: &KeyLog) {
        if self.with_secrets {
            let written = self.writer.secrets(&key_log_text(log));
            self.keep_error(written);
        }
    }

    /// Writes the packet of a datagram, if it has one; returns the packet ID for both.
    pub(crate) fn write_inner(
        &mut self,
        time_ns: u64,
        packet: Option<&[u8]>,
        from_hub: bool,
    ) -> u64 {
        self.last_id += 1;
        let id = self.last_id;
        if let Some(packet) = packet {
            let written = self.writer.packet(INNER_NUMBER, time_ns, packet, id, !from_hub, None);
            self.keep_error(written);
        }
        id
    }

    pub(crate) fn write_outer(&mut self, time_ns: u64, datagram: &InFlight) {
        let RecordLabel { id, from_hub, ref events } = datagram.label;
        let comment = (!events.is_empty()).then(|| events.join(", "));
        let InFlight { source, destination, ds, bytes, .. } = datagram;
        let packet = outer_packet(*source, *destination, *ds, bytes, bytes.len());
        let written =
            self.writer.packet(OUTER_NUMBER, time_ns, &packet, id, !from_hub, comment.as_deref());
        self.keep_error(written);
    }

    /// Flushes the file.
    ///
    /// # Errors
    /// The first write error.
    pub(crate) fn finish(self) -> io::Result<()> {
        match self.error {
            Some(error) => Err(error),
            None => self.writer.finish().map(drop),
        }
    }

    fn keep_error(&mut self, written: io::Result<()>) {
        if let (None, Err(error)) = (&self.error, written) {
            self.error = Some(error);
        }
    }
}
