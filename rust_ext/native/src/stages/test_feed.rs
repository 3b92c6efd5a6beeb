//! A trial: packets through a chain by hand, without a tunnel. For unit tests of stages.
//!
//! In: packets as a stage would meet them. Out: the packets that leave the last stage, each complete;
//! a super-packet as its segments. Drops: what the stages drop. Order: as given.

use pyfw_core::{
    buffer::{Buffer, STAGE_ROOM},
    frame::Frame,
    packet::{self, split::Segments},
    stage_api::{Direction, StageBatch, Stages},
    stages::chain::Chain,
    wireguard::peer::PeerId,
};

/// How packets are fed.
pub(super) struct Feed {
    pub(super) towards: Direction,
    pub(super) now_ns: u64,
    /// Payload of each segment, where packets are super-packets; 0: each is one packet.
    pub(super) segment_size: u16,
    pub(super) mtu: usize,
    /// The public key of the peer they come from or go to.
    pub(super) peer: [u8; 32],
}

/// Feeds them; what stages emitted before comes first.
pub(super) fn feed(chain: &Chain, packets: &[Vec<u8>], how: Feed) -> Result<Vec<Vec<u8>>, String> {
    let bytes: usize = packets.iter().map(Vec::len).sum();
    let mut stage_batch =
        StageBatch { buffer: Buffer::new(bytes + STAGE_ROOM), ..StageBatch::default() };
    stage_batch.batch.received_ns = how.now_ns;
    chain.set_peers(&[(PeerId(0), how.peer)]);
    for (number, packet) in packets.iter().enumerate() {
        let unfit = || format!("packet {number} is no IPv4 or IPv6 packet");
        let offset = stage_batch.buffer.append(packet).ok_or_else(unfit)?;
        let mut frame = packet::parse(packet, offset).map_err(|_| unfit())?;
        frame.peer = 0;
        take_segments(&mut frame, how.segment_size);
        stage_batch.batch.frames.push(frame);
    }
    chain.process(how.towards, &mut stage_batch, how.mtu);
    Ok(stage_batch
        .batch
        .frames
        .iter()
        .flat_map(|frame| segments(frame, &stage_batch.buffer))
        .collect())
}

fn take_segments(frame: &mut Frame, size: u16) {
    let payload = frame.length - u32::from(frame.header_length);
    let has_ports = frame.header_length > frame.transport_offset;
    if size != 0 && has_ports && payload > u32::from(size) {
        frame.segment_size = size;
        frame.segments = payload.div_ceil(u32::from(size)) as u16;
    }
}

fn segments(frame: &Frame, buffer: &[u8]) -> Vec<Vec<u8>> {
    let bytes = frame.bytes(buffer);
    let segments = Segments::new(frame, bytes);
    (0..segments.count())
        .map(|number| {
            let mut packet = vec![0; segments.length(number)];
            segments.write(number, bytes, &mut packet);
            packet
        })
        .collect()
}
