//! test_feed: runs packets through a chain without a tunnel, for `pyfw.StageTest`.

use pyfw_core::{
    buffer::{Buffer, STAGE_ROOM},
    frame::Frame,
    packet::{self, split::Segments},
    stage_api::{Direction, StageBatch, Stages},
    stages::chain::Chain,
    wireguard::peer::PeerId,
};

/// How packets are fed.
pub(super) struct FeedOptions {
    pub(super) towards: Direction,
    pub(super) now_ns: u64,
    /// Payload of each segment if packets are super-packets; 0: each is one packet.
    pub(super) segment_size: u16,
    pub(super) mtu: usize,
    /// Public key of the peer that packets come from or go to.
    pub(super) peer: [u8; 32],
}

/// Feeds packets in one batch. Returns the packets that leave the last stage, super-packets as their
/// segments.
pub(super) fn feed(
    chain: &Chain,
    packets: &[Vec<u8>],
    options: FeedOptions,
) -> Result<Vec<Vec<u8>>, String> {
    let bytes: usize = packets.iter().map(Vec::len).sum();
    let mut stage_batch =
        StageBatch { buffer: Buffer::new(bytes + STAGE_ROOM), ..StageBatch::default() };
    stage_batch.batch.received_ns = options.now_ns;
    chain.set_peers(&[(PeerId(0), options.peer)]);
    for (number, packet) in packets.iter().enumerate() {
        let invalid = || format!("packet {number} is not an IPv4 or IPv6 packet");
        let offset = stage_batch.buffer.append(packet).ok_or_else(invalid)?;
        let mut frame = packet::parse(packet, offset).map_err(|_| invalid())?;
        frame.peer = 0;
        set_segments(&mut frame, options.segment_size);
        stage_batch.batch.frames.push(frame);
    }
    chain.process(options.towards, &mut stage_batch, options.mtu);
    let StageBatch { batch, buffer, .. } = &stage_batch;
    Ok(batch.frames.iter().flat_map(|frame| segments(frame, buffer)).collect())
}

fn set_segments(frame: &mut Frame, size: u16) {
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
