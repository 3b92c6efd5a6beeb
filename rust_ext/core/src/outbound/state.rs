//! The state that the stages of the outbound path share: GSO list, peers, counts, reports, ICMP errors.
//!
//! Segments are counted for the path and for their peer: entered + created = left + queued + Σ drops.

use crate::{
    counters::OutboundTally,
    drop_reason::OutboundDrop,
    frame::Frame,
    outbound::{
        gso_egress::GsoEgress,
        icmp_error::IcmpErrors,
        outbound_peer::{OutboundPeers, SendingSession},
        staged::StagedBytes,
    },
    stage_api::CountAdjustment,
    wireguard::{commands::Report, path::Path, peer::PeerId},
};

pub(crate) struct OutboundState {
    pub(crate) gso: GsoEgress,
    pub(crate) peers: OutboundPeers,
    pub(crate) staged_bytes: StagedBytes,
    pub(crate) icmp_errors: IcmpErrors,
    pub(crate) reports: Vec<Report>,
    pub(crate) tally: OutboundTally,
}

impl OutboundState {
    pub(crate) fn new(gso: GsoEgress) -> Self {
        Self {
            gso,
            peers: OutboundPeers::default(),
            staged_bytes: StagedBytes::default(),
            icmp_errors: IcmpErrors::default(),
            reports: Vec::new(),
            tally: OutboundTally::default(),
        }
    }

    /// Counts a routed frame in: it is queued until it leaves or is dropped.
    pub(crate) fn count_entered(&mut self, frame: &Frame) {
        let segments = u64::from(frame.segments);
        for tally in self.tallies(PeerId(frame.peer)) {
            tally.entered += segments;
            tally.queued += segments;
        }
    }

    /// Counts segments that a stage created or dropped.
    pub(crate) fn count_adjustment(&mut self, adjustment: &CountAdjustment) {
        let CountAdjustment { peer, segments, created } = *adjustment;
        for tally in self.tallies(peer) {
            if created {
                tally.created += segments;
                tally.queued += segments;
            } else {
                tally.queued -= segments;
                tally.drop(OutboundDrop::Stage, segments);
            }
        }
    }

    /// Counts a queued frame as dropped.
    pub(crate) fn count_drop(&mut self, frame: &Frame, reason: OutboundDrop) {
        let segments = u64::from(frame.segments);
        for tally in self.tallies(PeerId(frame.peer)) {
            tally.queued -= segments;
            tally.drop(reason, segments);
        }
    }

    /// Takes the next datagrams off the GSO list: the kernel has accepted them, or they are dropped.
    pub(crate) fn complete(&mut self, datagrams: usize, dropped: Option<OutboundDrop>) {
        let Some(completed) = self.gso.complete(datagrams) else { return };
        for tally in self.tallies(completed.peer) {
            tally.queued -= completed.segments;
            match dropped {
                Some(reason) => tally.drop(reason, completed.segments),
                None => tally.left += completed.segments,
            }
        }
    }

    fn tallies(&mut self, peer: PeerId) -> impl Iterator<Item = &mut OutboundTally> {
        let of_peer = self.peers.touch(peer).map(|peer| &mut peer.tally);
        [Some(&mut self.tally), of_peer].into_iter().flatten()
    }

    /// Stages a copy of a frame until its peer has a session, and requests one.
    pub(crate) fn stage(&mut self, frame: &Frame, bytes: &[u8], now_ns: u64) {
        let id = PeerId(frame.peer);
        let Some(peer) = self.peers.touch(id) else { return };
        let dropped = peer.staged.push(frame, bytes, &mut self.staged_bytes);
        for tally in [&mut self.tally, &mut peer.tally] {
            tally.queued -= dropped;
            tally.drop(OutboundDrop::StagedOverflow, dropped);
        }
        peer.request_handshake(id, now_ns, &mut self.reports);
    }

    /// Returns the oldest staged frame of a peer, if it can be sent now.
    pub(crate) fn pop_staged(&mut self, id: PeerId, now_ns: u64) -> Option<(Frame, Box<[u8]>)> {
        let peer = self.peers.get_mut(id)?;
        let is_usable = |s: &SendingSession| s.is_usable(MAX_FRAME_SEGMENTS, now_ns);
        peer.path.and(peer.session.as_ref()).filter(|session| is_usable(session))?;
        peer.staged.pop(&mut self.staged_bytes)
    }

    /// Stages a frame again, before all others of its peer.
    pub(crate) fn put_back_staged(&mut self, frame: Frame, bytes: Box<[u8]>) {
        if let Some(peer) = self.peers.get_mut(PeerId(frame.peer)) {
            peer.staged.put_back(frame, bytes, &mut self.staged_bytes);
        }
    }

    /// Drops the frames that wait for a peer's session.
    pub(crate) fn drop_staged(&mut self, id: PeerId) {
        let Some(peer) = self.peers.touch(id) else { return };
        while let Some((frame, _)) = peer.staged.pop(&mut self.staged_bytes) {
            let segments = u64::from(frame.segments);
            for tally in [&mut self.tally, &mut peer.tally] {
                tally.queued -= segments;
                tally.drop(OutboundDrop::StagedExpired, segments);
            }
        }
        peer.forget_request();
    }

    /// Changes the path to a peer.
    pub(crate) fn set_path(&mut self, id: PeerId, path: Option<Path>) {
        if let Some(peer) = self.peers.get_mut(id).filter(|peer| peer.path != path) {
            peer.set_path(path);
            self.gso.close(id);
        }
    }
}

/// Segments of the largest frame: a session too near its end to seal that many seals no staged frame.
const MAX_FRAME_SEGMENTS: u64 = u16::MAX as u64;
