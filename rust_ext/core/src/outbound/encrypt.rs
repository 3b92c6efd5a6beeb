//! encrypt: frames become sealed datagrams in the GSO list.
//!
//! In: routed frames in order. Out: each segment, copied once into the buffer that will be sent, behind its
//! WireGuard header, and sealed there. Drops: frames of a peer without an endpoint, and segments that are
//! too big. Frames of a peer without a usable session are staged.
//! Order: counters are drawn here and nowhere else, in the order of the frames; staged frames go first.
//! Every entry seals what it wrote before it returns, so keys may change between any two of them: no
//! counter is ever used with other keys than those it was drawn for.
//! Time: a session older than 180 s is not used; one older than 120 s requests the next.

use crate::{
    aead::{Aead, TAG_LENGTH},
    drop_reason::OutboundDrop,
    frame::{Frame, FrameBatch},
    outbound::{
        gso_batch::{Target, send_limit},
        icmp_error::{IcmpError, must_report_too_big},
        state::OutboundState,
    },
    packet::{
        message_header::{DATA_HEADER_LENGTH, write_data_header},
        split::Segments,
    },
    wireguard::peer::PeerId,
};

/// The stage.
pub(crate) struct Encrypt {
    aead: Box<dyn Aead>,
    /// The TUN's MTU.
    mtu: usize,
}

#[derive(PartialEq)]
enum Outcome {
    /// The frame is in the GSO list, staged or dropped.
    Done,
    /// The GSO list has no room: send, then try again.
    Full,
}

impl Encrypt {
    pub(crate) fn new(aead: Box<dyn Aead>, mtu: usize) -> Self {
        Self { aead, mtu }
    }

    pub(crate) fn set_mtu(&mut self, mtu: usize) {
        self.mtu = mtu;
    }

    /// Encrypts the frames from index `first` on, whose bytes lie in `buffer`. Returns the index of the
    /// first frame that the GSO list has no room for.
    pub(crate) fn process(
        &mut self,
        state: &mut OutboundState,
        batch: &FrameBatch,
        buffer: &[u8],
        first: usize,
    ) -> usize {
        let full = (first..batch.frames.len()).find(|&i| {
            let frame = &batch.frames[i];
            self.encrypt_frame(state, frame, frame.bytes(buffer), batch.received_ns)
                == Outcome::Full
        });
        self.seal(state);
        full.unwrap_or(batch.frames.len())
    }

    /// Encrypts what is staged for a peer. Returns false if the GSO list has no room: send, then try again.
    pub(crate) fn flush_staged(
        &mut self,
        state: &mut OutboundState,
        id: PeerId,
        now_ns: u64,
    ) -> bool {
        let mut is_full = false;
        while let Some((frame, bytes)) = state.pop_staged(id, now_ns) {
            is_full = self.append(state, &frame, &bytes, now_ns) == Outcome::Full;
            if is_full {
                state.put_back_staged(frame, bytes);
                break;
            }
        }
        self.seal(state);
        !is_full
    }

    /// Encrypts an empty message, if the peer has a session and a path. Returns false if the GSO list has no
    /// room.
    pub(crate) fn keepalive(&mut self, state: &mut OutboundState, id: PeerId, now_ns: u64) -> bool {
        let Some(peer) = state.peers.touch(id) else { return true };
        let session = peer.session.as_mut().filter(|session| session.is_usable(1, now_ns));
        let (Some(path), Some(session)) = (peer.path, session) else {
            peer.request_handshake(id, now_ns, &mut state.reports);
            return true;
        };
        let target = Target { peer: id, path, ds: 0 };
        let length = DATA_HEADER_LENGTH + TAG_LENGTH;
        let Some(mut reservation) = state.gso.reserve(&target, length) else { return false };
        let counter = session.draw_counter();
        write_data_header(reservation.bytes(), session.remote_index(), counter);
        reservation.commit(DATA_HEADER_LENGTH, 0, counter);
        let needs_rekey = session.needs_rekey(now_ns);
        peer.record_sent(length, false);
        if needs_rekey {
            peer.request_handshake(id, now_ns, &mut state.reports);
        }
        self.seal(state);
        true
    }

    fn encrypt_frame(
        &self,
        state: &mut OutboundState,
        frame: &Frame,
        bytes: &[u8],
        now_ns: u64,
    ) -> Outcome {
        let Some(peer) = state.peers.get(PeerId(frame.peer)) else {
            state.count_drop(frame, OutboundDrop::NoRoute);
            return Outcome::Done;
        };
        if peer.path.is_none() {
            state.icmp_errors.push(frame, bytes, IcmpError::HostUnreachable, now_ns);
            state.count_drop(frame, OutboundDrop::NoEndpoint);
            return Outcome::Done;
        }
        let segments = u64::from(frame.segments);
        let is_usable = peer.session.as_ref().is_some_and(|s| s.is_usable(segments, now_ns));
        if !is_usable || !peer.staged.is_empty() {
            state.stage(frame, bytes, now_ns);
            return Outcome::Done;
        }
        self.append(state, frame, bytes, now_ns)
    }

    /// Splits a frame into the GSO list. The caller has checked that its peer has a path and a session that
    /// is usable for all its segments.
    fn append(
        &self,
        state: &mut OutboundState,
        frame: &Frame,
        bytes: &[u8],
        now_ns: u64,
    ) -> Outcome {
        let id = PeerId(frame.peer);
        let Some(peer) = state.peers.touch(id) else { return Outcome::Done };
        let path_mtu = peer.path_mtu(now_ns);
        let (Some(path), Some(session)) = (peer.path, peer.session.as_mut()) else {
            return Outcome::Done;
        };
        let segments = Segments::new(frame, bytes);
        let longest = segments.length(0);
        if let Some(mtu) =
            path_mtu.filter(|&mtu| longest > mtu && must_report_too_big(frame, bytes, mtu))
        {
            state.icmp_errors.push(frame, bytes, IcmpError::TooBig { mtu }, now_ns);
            state.count_drop(frame, OutboundDrop::TooBig);
            return Outcome::Done;
        }
        // A segment that fits into the path must not be padded beyond it.
        let mtu = path_mtu.filter(|&mtu| longest <= mtu).map_or(self.mtu, |mtu| mtu.min(self.mtu));
        let longest = datagram_length(longest, mtu);
        let limit = send_limit(&path.destination);
        if longest > limit {
            state.count_drop(frame, OutboundDrop::TooBig);
            return Outcome::Done;
        }
        let per_batch = state.gso.max_segments().min(limit / longest);
        if segments.count().div_ceil(per_batch) + 1 > state.gso.free_buffers() {
            if !state.gso.is_empty() {
                return Outcome::Full;
            }
            state.count_drop(frame, OutboundDrop::TooBig);
            return Outcome::Done;
        }
        // DSCP 0, the inner ECN (RFC 6040 normal mode; the kernel's ip_tunnel_ecn_encap).
        let target = Target { peer: id, path, ds: frame.ds & 0b11 };
        let mut sent_bytes = 0;
        for i in 0..segments.count() {
            let length = segments.length(i);
            let padded = padded_length(length, mtu);
            let datagram = DATA_HEADER_LENGTH + padded + TAG_LENGTH;
            // There is room: it was counted above.
            let Some(mut reservation) = state.gso.reserve(&target, datagram) else { break };
            let counter = session.draw_counter();
            let slot = reservation.bytes();
            write_data_header(slot, session.remote_index(), counter);
            let text = &mut slot[DATA_HEADER_LENGTH..DATA_HEADER_LENGTH + padded];
            segments.write(i, bytes, &mut text[..length]);
            // A full segment has no padding; even an empty `fill` costs a call.
            if length < padded {
                text[length..].fill(0);
            }
            reservation.commit(DATA_HEADER_LENGTH, padded, counter);
            sent_bytes += datagram;
        }
        let needs_rekey = session.needs_rekey(now_ns);
        peer.record_sent(sent_bytes, true);
        if needs_rekey {
            peer.request_handshake(id, now_ns, &mut state.reports);
        }
        Outcome::Done
    }

    /// Seals what was written to the list.
    fn seal(&mut self, state: &mut OutboundState) {
        let OutboundState { gso, peers, .. } = state;
        gso.seal(self.aead.as_mut(), |id| peers.key(id));
    }
}

/// Texts are padded to a multiple of this (whitepaper §5.4.6), unless that would exceed the MTU.
const PADDING: usize = 16;

fn datagram_length(length: usize, mtu: usize) -> usize {
    DATA_HEADER_LENGTH + padded_length(length, mtu) + TAG_LENGTH
}

/// Returns the length of a packet after padding, which never makes it longer than the MTU. A packet that is
/// longer already (the MTU was just lowered) is padded as if it came in pieces of the MTU. The same as
/// wireguard-go's calculatePaddingSize, an MTU of 0 included.
fn padded_length(length: usize, mtu: usize) -> usize {
    if mtu == 0 {
        return length.next_multiple_of(PADDING);
    }
    let rest = if length > mtu { length % mtu } else { length };
    length - rest + rest.next_multiple_of(PADDING).min(mtu.max(rest))
}
