//! decrypt: a run of data messages becomes frames of the batch.
//!
//! In: data messages of one session, in order of arrival. Out: packets, opened in place, their headers
//! parsed and the outer ECN merged in. Drops: messages without a session, of an expired one, with a replayed or
//! stale counter or a wrong tag; then packets that are invalid, not from the peer's allowed IPs, or marked CE
//! outside without being ECN-capable, and those that CoDel drops because a queue stands at our socket and
//! they cannot be marked.
//! Order: frames are in order of arrival; a message whose counter is below the session's highest is counted as
//! late. Time: keys are used for 180 s; an initiator's session older than 165 s requests the next.

use crate::{
    aead::{Aead, Slot},
    codel::Codel,
    drop_reason::{DatagramDrop, InboundDrop},
    frame::{Frame, FrameBatch},
    inbound::{
        source_check::SourceCheck,
        state::InboundState,
        udp_ingress::{DataMessage, Received, Run},
    },
    packet::{
        self,
        ip::{CE, EcnMerge, mark, merge_ecn},
    },
    wireguard::{
        noise::{
            replay_window::Accept,
            timers::{REJECT_AFTER_MESSAGES, REJECT_AFTER_TIME_NS},
        },
        peer::PeerId,
    },
};

/// The stage.
pub struct Decrypt {
    aead: Box<dyn Aead>,
    codel: Codel,
    /// The messages of a run that pass the replay window, and which of them were authenticated.
    messages: Vec<DataMessage>,
    slots: Vec<Slot>,
    opened: Vec<bool>,
}

impl Decrypt {
    /// Creates a stage that opens with `aead`.
    pub fn new(aead: Box<dyn Aead>) -> Self {
        Self {
            aead,
            codel: Codel::default(),
            messages: Vec::new(),
            slots: Vec::new(),
            opened: Vec::new(),
        }
    }

    /// Opens one run of messages, whose bytes lie in `buffer`, and appends its packets to the batch.
    pub fn process(
        &mut self,
        state: &mut InboundState,
        run: Run<'_>,
        received: &[Received],
        buffer: &mut [u8],
        source_check: &mut SourceCheck,
        batch: &mut FrameBatch,
    ) {
        let now_ns = batch.received_ns;
        let InboundState { sessions, peers, tally, datagrams, .. } = state;
        let count = run.messages.len() as u64;
        let Some(session) = sessions.get_mut(&run.receiver_index) else {
            return datagrams.drop(DatagramDrop::NoSession, count);
        };
        let age_ns = now_ns.saturating_sub(session.keys.created_ns);
        if age_ns >= REJECT_AFTER_TIME_NS {
            return datagrams.drop(DatagramDrop::Expired, count);
        }
        self.messages.clear();
        self.slots.clear();
        for message in run.messages {
            if message.slot.counter >= REJECT_AFTER_MESSAGES {
                datagrams.drop(DatagramDrop::Expired, 1);
            } else if !session.window.check(message.slot.counter) {
                datagrams.drop(DatagramDrop::Replay, 1);
            } else {
                self.messages.push(*message);
                self.slots.push(message.slot);
            }
        }
        self.opened.clear();
        self.opened.resize(self.slots.len(), false);
        self.aead.open(&session.keys.key, buffer, &self.slots, &mut self.opened);

        let id = session.keys.peer;
        let Some(peer) = peers.get_mut(id) else {
            return datagrams.drop(DatagramDrop::NoSession, self.slots.len() as u64);
        };
        let mut newest = None;
        for (message, opened) in self.messages.iter().zip(&self.opened) {
            if !opened {
                datagrams.drop(DatagramDrop::Forged, 1);
                continue;
            }
            match session.window.accept(message.slot.counter) {
                Accept::Replayed => {
                    datagrams.drop(DatagramDrop::Replay, 1);
                    continue;
                }
                Accept::Late => {
                    tally.late += 1;
                    peer.tally.late += 1;
                }
                Accept::Fresh => {}
            }
            let outer = &received[message.received as usize];
            newest = Some(outer);
            peer.received.bytes += u64::from(message.datagram_length);
            if message.slot.length == 0 {
                datagrams.keepalives += 1;
                continue;
            }
            peer.received.has_data = true;
            datagrams.data += 1;
            tally.entered += 1;
            peer.tally.entered += 1;
            // CoDel signals as a congested router would: with CE.
            let outer_ecn = outer.ds & 0b11;
            let ecn = if self.codel.signals(outer.waited_ns, now_ns) { CE } else { outer_ecn };
            match accept_packet(message.slot, ecn, id, buffer, source_check) {
                Ok((frame, marked)) => {
                    batch.frames.push(frame);
                    for tally in [&mut *tally, &mut peer.tally] {
                        tally.queued += 1;
                        tally.marked += u64::from(marked);
                    }
                }
                Err(reason) => {
                    let is_ours = ecn != outer_ecn && reason == InboundDrop::EcnNotCapable;
                    let reason = if is_ours { InboundDrop::Congested } else { reason };
                    tally.drop(reason, 1);
                    peer.tally.drop(reason, 1);
                }
            }
        }
        if let Some(newest) = newest {
            peer.received.from = Some(newest.from);
            peers.touch(id);
            state.note_authenticated(run.receiver_index, age_ns);
        }
    }
}

/// Parses an opened packet, checks that its peer may send it, and merges the outer ECN into it. Returns the frame
/// and whether it was marked.
fn accept_packet(
    slot: Slot,
    outer_ecn: u8,
    peer: PeerId,
    buffer: &mut [u8],
    source_check: &mut SourceCheck,
) -> Result<(Frame, bool), InboundDrop> {
    let Slot { offset, length, .. } = slot;
    let text = &mut buffer[offset as usize..(offset + length) as usize];
    let mut frame = packet::parse(text, offset).map_err(|_| InboundDrop::InvalidPacket)?;
    if !source_check.allows(peer, &frame) {
        return Err(InboundDrop::SourceNotAllowed);
    }
    frame.peer = peer.0;
    match merge_ecn(outer_ecn, frame.ds & 0b11) {
        EcnMerge::Keep => Ok((frame, false)),
        EcnMerge::Set(ecn) => {
            mark(&mut frame, text, ecn);
            Ok((frame, true))
        }
        EcnMerge::Drop => Err(InboundDrop::EcnNotCapable),
    }
}
