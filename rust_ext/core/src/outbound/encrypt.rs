//! encrypt: frames become sealed datagrams in the GSO list.
//!
//! In: routed frames in order. Out: each segment copied once, into the slot of the buffer that will
//! be sent, behind its WireGuard header, and sealed there. Drops: no endpoint; too big; staged too
//! long or too many. A peer without a usable session gets its frames staged. Order: counters are
//! drawn here and nowhere else, in the order of the frames; what was staged goes first.
//! Time: a session older than 180 s is not used, one older than 120 s asks for the next.

use std::sync::Arc;

use crate::{
    aead::{Aead, TAG_LENGTH},
    counters::OutboundTally,
    drop_reason::OutboundDrop,
    frame::{Frame, FrameBatch},
    outbound::{
        gso_batch::{Target, send_limit},
        gso_egress::GsoEgress,
        icmp_error::{IcmpError, IcmpErrors, is_too_big},
        outbound_peer::OutboundPeers,
        staged::StagedBytes,
    },
    packet::{
        message_header::{DATA_HEADER_LENGTH, write_data_header},
        split::Segments,
    },
    stage_api::CountAdjustment,
    time::SECOND_NS,
    wireguard::{
        commands::{Report, SendSession},
        noise::timers::{KEEPALIVE_TIMEOUT_NS, REKEY_TIMEOUT_NS},
        path::Path,
        peer::{Activity, PeerId},
    },
};

/// Padded to a multiple of this (whitepaper §5.4.6), unless that would pass the MTU.
const PADDING: usize = 16;

/// The stage, with what it knows of each peer.
pub struct Encrypt {
    gso: GsoEgress,
    aead: Box<dyn Aead>,
    mtu: usize,
    peers: OutboundPeers,
    staged_bytes: StagedBytes,
    /// Peers whose activity must be written at the end of the batch.
    touched: Vec<PeerId>,
    reports: Vec<Report>,
    icmp_errors: IcmpErrors,
    tally: OutboundTally,
}

/// Where a frame went.
enum Outcome {
    /// Into the GSO list, or dropped, or staged: it is done with.
    Done,
    /// Nowhere: the GSO list has no room until something was sent.
    Full,
}

impl Encrypt {
    /// A stage that fills `gso` and seals with `aead`; `mtu` is the TUN's.
    pub fn new(gso: GsoEgress, aead: Box<dyn Aead>, mtu: usize) -> Self {
        Self {
            gso,
            aead,
            mtu,
            peers: OutboundPeers::default(),
            staged_bytes: StagedBytes::default(),
            touched: Vec::new(),
            reports: Vec::new(),
            icmp_errors: IcmpErrors::default(),
            tally: OutboundTally::default(),
        }
    }

    /// Counts routed frames in: they are queued until they leave or are dropped.
    pub fn admit(&mut self, batch: &FrameBatch) {
        for frame in &batch.frames {
            let (id, segments) = (PeerId(frame.peer), u64::from(frame.segments));
            let peer = self.peers.get_mut(id).map(|p| p.touched(id, &mut self.touched));
            for tally in [Some(&mut self.tally), peer].into_iter().flatten() {
                tally.entered += segments;
                tally.queued += segments;
            }
        }
    }

    /// Counts what stages dropped and made of what was admitted.
    pub fn book(&mut self, adjustments: &[CountAdjustment]) {
        for &CountAdjustment { peer: id, segments, created } in adjustments {
            let peer = self.peers.get_mut(id).map(|p| p.touched(id, &mut self.touched));
            for tally in [Some(&mut self.tally), peer].into_iter().flatten() {
                if created {
                    tally.created += segments;
                    tally.queued += segments;
                } else {
                    tally.queued -= segments;
                    tally.drop(OutboundDrop::Stage, segments);
                }
            }
        }
    }

    /// Counts a frame for the peer it was routed to after a stage had made it.
    pub fn adopt(&mut self, frame: &Frame) {
        let id = PeerId(frame.peer);
        if let Some(peer) = self.peers.get_mut(id) {
            let tally = peer.touched(id, &mut self.touched);
            tally.created += u64::from(frame.segments);
            tally.queued += u64::from(frame.segments);
        }
    }

    /// Drops an admitted frame.
    pub fn discard(&mut self, frame: &Frame, reason: OutboundDrop) {
        self.dropped(Some(PeerId(frame.peer)), reason, u64::from(frame.segments));
    }

    /// Takes admitted frames from `first` on, whose bytes lie in `buffer`. Returns the index of the first
    /// frame that found no room: send, then call again from there.
    pub fn process(&mut self, batch: &FrameBatch, buffer: &[u8], first: usize) -> usize {
        for (i, frame) in batch.frames.iter().enumerate().skip(first) {
            if let Outcome::Full = self.frame(frame, frame.bytes(buffer), batch.received_ns) {
                return i;
            }
        }
        batch.frames.len()
    }

    fn frame(&mut self, frame: &Frame, bytes: &[u8], now_ns: u64) -> Outcome {
        let segments = u64::from(frame.segments);
        let id = PeerId(frame.peer);
        let Some(peer) = self.peers.get_mut(id) else {
            return self.dropped(None, OutboundDrop::NoRoute, segments);
        };
        if peer.path.is_none() {
            self.refuse(frame, bytes, now_ns);
            return self.dropped(Some(id), OutboundDrop::NoEndpoint, segments);
        }
        let usable = peer.session.as_ref().is_some_and(|s| s.usable(segments, now_ns));
        if !usable || !peer.staged.is_empty() {
            return self.stage(id, frame, bytes, now_ns);
        }
        self.seal_frame(id, frame, bytes, now_ns)
    }

    /// Splits a frame into the GSO list under the peer's session, which the caller found usable.
    fn seal_frame(&mut self, id: PeerId, frame: &Frame, bytes: &[u8], now_ns: u64) -> Outcome {
        let parts = Segments::new(frame, bytes);
        let Some(peer) = self.peers.get_mut(id) else { return Outcome::Done };
        let (Some(path), Some(sending)) = (peer.path, peer.session.as_mut()) else {
            return Outcome::Done;
        };
        // DSCP 0, the inner ECN (RFC 6040 normal mode; the kernel's ip_tunnel_ecn_encap).
        let target = Target { peer: id, path, ds: frame.ds & 0b11 };
        let max_datagram_size = peer
            .max_datagram_size
            .filter(|(_, at_ns)| now_ns.saturating_sub(*at_ns) < MAX_DATAGRAM_SIZE_TTL_NS);
        let mtu = match max_datagram_size
            .map(|(max_datagram_size, _)| max_datagram_size - DATAGRAM_OVERHEAD)
        {
            Some(mtu) if parts.length(0) > mtu && is_too_big(frame, bytes, mtu) => {
                self.icmp_errors.refuse(frame, bytes, IcmpError::TooBig { mtu }, now_ns);
                return self.dropped(Some(id), OutboundDrop::TooBig, u64::from(frame.segments));
            }
            // Padding does not make a datagram too long either.
            Some(mtu) if parts.length(0) <= mtu => self.mtu.min(mtu),
            _ => self.mtu,
        };
        let whole = datagram_length(parts.length(0), mtu);
        let limit = send_limit(&path.destination);
        if whole > limit {
            return self.dropped(Some(id), OutboundDrop::TooBig, u64::from(frame.segments));
        }
        let per_batch = self.gso.max_segments().min(limit / whole);
        if parts.count().div_ceil(per_batch) + 1 > self.gso.free_buffers() {
            if !self.gso.is_empty() {
                return Outcome::Full;
            }
            return self.dropped(Some(id), OutboundDrop::TooBig, u64::from(frame.segments));
        }
        for i in 0..parts.count() {
            let length = parts.length(i);
            let padded = padded_length(length, mtu);
            let datagram = DATA_HEADER_LENGTH + padded + TAG_LENGTH;
            // There is room: it was counted above.
            let Some(mut room) = self.gso.reserve(&target, datagram) else { break };
            let slot = room.bytes();
            write_data_header(slot, sending.session.remote_index, sending.counter);
            let text = &mut slot[DATA_HEADER_LENGTH..DATA_HEADER_LENGTH + padded];
            parts.write(i, bytes, &mut text[..length]);
            // A full segment has no padding, and what would fill it costs a call even so.
            if length < padded {
                text[length..].fill(0);
            }
            room.commit(DATA_HEADER_LENGTH, padded, sending.counter);
            sending.counter += 1;
            peer.batch.bytes += datagram as u64;
        }
        let due = sending.due(now_ns);
        peer.batch.data = true;
        peer.touched(id, &mut self.touched);
        if due {
            self.ask(id, now_ns);
        }
        Outcome::Done
    }

    fn dropped(&mut self, id: Option<PeerId>, reason: OutboundDrop, segments: u64) -> Outcome {
        let peer = id.and_then(|id| Some(self.peers.get_mut(id)?.touched(id, &mut self.touched)));
        for tally in [Some(&mut self.tally), peer].into_iter().flatten() {
            tally.queued -= segments;
            tally.drop(reason, segments);
        }
        Outcome::Done
    }

    fn stage(&mut self, id: PeerId, frame: &Frame, bytes: &[u8], now_ns: u64) -> Outcome {
        let Some(peer) = self.peers.get_mut(id) else { return Outcome::Done };
        let lost = peer.staged.push(frame, bytes, &mut self.staged_bytes);
        for tally in [&mut self.tally, peer.touched(id, &mut self.touched)] {
            tally.queued -= lost;
            tally.drop(OutboundDrop::StagedOverflow, lost);
        }
        self.ask(id, now_ns);
        Outcome::Done
    }

    /// Asks control for a handshake, at most once in the time in which it would not retry anyway.
    fn ask(&mut self, id: PeerId, now_ns: u64) {
        let Some(peer) = self.peers.get_mut(id) else { return };
        if peer.asked_ns.is_none_or(|at| now_ns.saturating_sub(at) >= REKEY_TIMEOUT_NS) {
            peer.asked_ns = Some(now_ns);
            self.reports.push(Report::WantsHandshake(id));
        }
    }

    /// Ends a batch: seals what was split, and writes each touched peer's activity once.
    pub fn finish(&mut self, now_ns: u64) {
        self.seal();
        for id in self.touched.drain(..) {
            let Some(peer) = self.peers.get_mut(id) else { continue };
            let sent = std::mem::take(&mut peer.batch);
            if sent.bytes != 0
                && peer.activity.sent(now_ns, sent.bytes, sent.data, KEEPALIVE_TIMEOUT_NS)
            {
                self.reports.push(Report::Active(id));
            }
            peer.activity.outbound.publish(&peer.tally);
        }
    }

    /// Seals what the list holds, with the keys that its counters were drawn from: so before these
    /// change as well, as a keepalive may wait there (a nonce would be used twice).
    fn seal(&mut self) {
        let Self { gso, aead, peers, .. } = self;
        gso.seal(aead.as_mut(), |id| peers.key(id));
    }

    /// Puts an empty message into the list, where there is a session and a path for it. Returns false
    /// where the list is full: data is on its way, though perhaps not to this peer.
    pub fn keepalive(&mut self, id: PeerId, now_ns: u64) -> bool {
        let Some(peer) = self.peers.get_mut(id) else { return true };
        let usable = peer.session.as_mut().filter(|s| s.usable(1, now_ns));
        let (Some(path), Some(sending)) = (peer.path, usable) else {
            self.ask(id, now_ns);
            return true;
        };
        let target = Target { peer: id, path, ds: 0 };
        let length = DATA_HEADER_LENGTH + TAG_LENGTH;
        let Some(mut room) = self.gso.reserve(&target, length) else { return false };
        write_data_header(room.bytes(), sending.session.remote_index, sending.counter);
        room.commit(DATA_HEADER_LENGTH, 0, sending.counter);
        sending.counter += 1;
        let due = sending.due(now_ns);
        peer.batch.bytes += length as u64;
        peer.touched(id, &mut self.touched);
        if due {
            self.ask(id, now_ns);
        }
        true
    }

    /// Sends what waited for this peer's session. Returns false where the list is full: send, then
    /// call again.
    pub fn flush_staged(&mut self, id: PeerId, now_ns: u64) -> bool {
        loop {
            let Some(peer) = self.peers.get_mut(id) else {
                return true;
            };
            let usable = peer.session.as_ref().is_some_and(|s| s.usable(MAX_AT_ONCE, now_ns));
            if !usable || peer.path.is_none() {
                return true;
            }
            let Some((frame, bytes)) = peer.staged.pop(&mut self.staged_bytes) else {
                return true;
            };
            if let Outcome::Full = self.seal_frame(id, &frame, &bytes, now_ns) {
                if let Some(peer) = self.peers.get_mut(id) {
                    peer.staged.put_back(frame, bytes, &mut self.staged_bytes);
                }
                return false;
            }
        }
    }

    /// Whether frames wait for this peer's session.
    pub fn has_staged(&self, id: PeerId) -> bool {
        self.peers.get(id).is_some_and(|p| !p.staged.is_empty())
    }

    /// A peer exists from now on.
    pub fn add_peer(&mut self, id: PeerId, activity: Arc<Activity>) {
        self.peers.add(id, activity);
    }

    /// A peer is gone.
    pub fn remove_peer(&mut self, id: PeerId) {
        self.drop_staged(id);
        self.seal();
        self.peers.remove(id);
    }

    /// The way to a peer changed.
    pub fn set_path(&mut self, id: PeerId, path: Option<Path>) {
        if let Some(peer) = self.peers.get_mut(id).filter(|peer| peer.path != path) {
            let destination = |path: Option<Path>| path.map(|path| path.destination);
            if destination(peer.path) != destination(path) {
                peer.max_datagram_size = None;
            }
            peer.path = path;
            self.gso.close(id);
        }
    }

    /// Sends with these keys from now on.
    pub fn install(&mut self, id: PeerId, session: SendSession) {
        self.seal();
        if let Some(peer) = self.peers.get_mut(id) {
            peer.install(session);
        }
    }

    /// Forgets the keys.
    pub fn erase(&mut self, id: PeerId) {
        self.seal();
        if let Some(peer) = self.peers.get_mut(id) {
            peer.session = None;
            // What control did before it erased is no answer to what comes next.
            peer.asked_ns = None;
        }
    }

    /// Drops what waits for a peer's session.
    pub fn drop_staged(&mut self, id: PeerId) {
        let Some(peer) = self.peers.get_mut(id) else { return };
        while let Some((frame, _)) = peer.staged.pop(&mut self.staged_bytes) {
            let segments = u64::from(frame.segments);
            for tally in [&mut self.tally, &mut peer.tally] {
                tally.queued -= segments;
                tally.drop(OutboundDrop::StagedExpired, segments);
            }
        }
        peer.asked_ns = None;
        peer.activity.outbound.publish(&peer.tally);
    }

    /// Takes the next `datagrams` off the GSO list: sent, or refused for a reason.
    pub fn depart(&mut self, datagrams: usize, refused: Option<OutboundDrop>) {
        let Some(gone) = self.gso.depart(datagrams) else { return };
        let peer = self.peers.get_mut(gone.peer).map(|p| p.touched(gone.peer, &mut self.touched));
        for tally in [Some(&mut self.tally), peer].into_iter().flatten() {
            tally.queued -= gone.segments;
            match refused {
                Some(reason) => tally.drop(reason, gone.segments),
                None => tally.left += gone.segments,
            }
        }
    }

    /// Publishes the peers that were touched since [`Encrypt::finish`].
    pub fn publish(&mut self) {
        for id in self.touched.drain(..) {
            if let Some(peer) = self.peers.get_mut(id) {
                peer.batch.touched = false;
                peer.activity.outbound.publish(&peer.tally);
            }
        }
    }

    /// Follows the TUN's MTU.
    pub fn set_mtu(&mut self, mtu: usize) {
        self.mtu = mtu;
    }

    /// The list to send from.
    pub fn gso(&self) -> &GsoEgress {
        &self.gso
    }

    /// The path's counts; the stages before this one, up to route, write their drops here.
    pub fn tally(&mut self) -> &mut OutboundTally {
        &mut self.tally
    }

    /// The longest datagram that one packet of a peer's path carries; `None` where that is not known.
    pub fn set_max_datagram_size(
        &mut self,
        id: PeerId,
        max_datagram_size: Option<usize>,
        now_ns: u64,
    ) {
        if let Some(peer) = self.peers.get_mut(id) {
            peer.max_datagram_size = max_datagram_size
                .filter(|max_datagram_size| *max_datagram_size > DATAGRAM_OVERHEAD)
                .map(|max_datagram_size| (max_datagram_size, now_ns));
        }
    }

    /// Tells the sender of a frame that has nowhere to go.
    pub fn refuse(&mut self, frame: &Frame, bytes: &[u8], now_ns: u64) {
        self.icmp_errors.refuse(frame, bytes, IcmpError::HostUnreachable, now_ns);
    }

    /// ICMP errors for the senders of what was dropped.
    pub fn icmp_errors(&mut self) -> &mut Vec<Box<[u8]>> {
        self.icmp_errors.made()
    }

    /// For the stage before this one.
    pub fn tally_and_icmp_errors(&mut self) -> (&mut OutboundTally, &mut IcmpErrors) {
        (&mut self.tally, &mut self.icmp_errors)
    }

    /// What control must be told.
    pub fn reports(&mut self) -> &mut Vec<Report> {
        &mut self.reports
    }
}

/// A path may carry more again, and where all that would be sent is refused nobody asks: after a while one
/// packet goes out to see.
const MAX_DATAGRAM_SIZE_TTL_NS: u64 = 2 * SECOND_NS;

/// What a datagram is longer than the packet in it, before padding.
const DATAGRAM_OVERHEAD: usize = DATA_HEADER_LENGTH + TAG_LENGTH;

/// Segments of the largest frame; nothing near the end of a session's counters starts one.
const MAX_AT_ONCE: u64 = u16::MAX as u64;

/// Padded to 16, never above the MTU; a packet larger than the MTU (which was just lowered) is
/// padded as if it came in pieces of it. The same as wireguard-go's calculatePaddingSize, 0 included.
fn padded_length(length: usize, mtu: usize) -> usize {
    if mtu == 0 {
        return length.next_multiple_of(PADDING);
    }
    let rest = if length > mtu { length % mtu } else { length };
    length - rest + rest.next_multiple_of(PADDING).min(mtu.max(rest))
}

fn datagram_length(length: usize, mtu: usize) -> usize {
    DATA_HEADER_LENGTH + padded_length(length, mtu) + TAG_LENGTH
}
