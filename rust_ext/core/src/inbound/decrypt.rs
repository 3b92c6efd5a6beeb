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
    aead::{Aead, Slot, TAG_LENGTH},
    codel::Codel,
    counters::DatagramTally,
    drop_reason::{DatagramDrop, InboundDrop},
    frame::{Frame, FrameBatch},
    inbound::{
        source_check::SourceCheck,
        state::InboundState,
        udp_ingress::{DataMessage, Received},
    },
    packet::{
        self,
        ip::{CE, EcnMerge, mark, merge_ecn},
        message_header::DATA_HEADER_LENGTH,
    },
    wireguard::{
        noise::{
            replay_window::{Accept, ReplayWindow},
            timers::{REJECT_AFTER_MESSAGES, REJECT_AFTER_TIME_NS},
        },
        peer::PeerId,
    },
};

/// The stage.
pub struct Decrypt {
    aead: Box<dyn Aead>,
    codel: Codel,
    /// The messages of a run that pass the replay window, if not all do.
    messages: Vec<DataMessage>,
    slots: Vec<Slot>,
    /// Whether each slot was authenticated.
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

    /// Opens a run of messages of one session, whose bytes lie in `buffer`, and appends their packets to the batch.
    pub fn process(
        &mut self,
        state: &mut InboundState,
        run: &[DataMessage],
        received: &[Received],
        buffer: &mut [u8],
        source_check: &mut SourceCheck,
        batch: &mut FrameBatch,
    ) {
        let Self { aead, codel, messages, slots, opened } = self;
        let now_ns = batch.received_ns;
        let InboundState { sessions, peers, tally, datagrams, reports, outbound_commands } = state;
        let Some(first) = run.first() else { return };
        let Some(session) = sessions.get_mut(&first.receiver_index) else {
            return datagrams.drop(DatagramDrop::NoSession, run.len() as u64);
        };
        let age_ns = now_ns.saturating_sub(session.keys.created_ns);
        if age_ns >= REJECT_AFTER_TIME_NS {
            return datagrams.drop(DatagramDrop::Expired, run.len() as u64);
        }
        let messages = filter_by_window(run, &session.window, messages, datagrams);
        slots.clear();
        slots.extend(messages.iter().map(|message| message.slot));
        opened.clear();
        opened.resize(slots.len(), false);
        aead.open(&session.keys.key, buffer, slots, opened);

        let id = session.keys.peer;
        let Some(peer) = peers.touch(id) else {
            return datagrams.drop(DatagramDrop::NoSession, slots.len() as u64);
        };
        let mut newest = None;
        let (mut bytes, mut data, mut keepalives, mut marked) = (0, 0, 0, 0);
        let frames_before = batch.frames.len();
        for (message, opened) in messages.iter().zip(&*opened) {
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
            bytes += DATAGRAM_OVERHEAD + u64::from(message.slot.length);
            if message.slot.length == 0 {
                keepalives += 1;
                continue;
            }
            data += 1;
            // CoDel signals as a congested router would: with CE.
            let ecn = match codel.signals(outer.waited_ns, now_ns) {
                true => CE,
                false => outer.ds & 0b11,
            };
            match accept_packet(message.slot, ecn, id, buffer, source_check, &mut batch.frames) {
                Ok(is_marked) => marked += u64::from(is_marked),
                Err(reason) => {
                    let is_ours = ecn != outer.ds & 0b11 && reason == InboundDrop::EcnNotCapable;
                    let reason = if is_ours { InboundDrop::Congested } else { reason };
                    tally.drop(reason, 1);
                    peer.tally.drop(reason, 1);
                }
            }
        }
        let Some(newest) = newest else { return };
        datagrams.data += data;
        datagrams.keepalives += keepalives;
        let queued = (batch.frames.len() - frames_before) as u64;
        for tally in [tally, &mut peer.tally] {
            tally.entered += data;
            tally.queued += queued;
            tally.marked += marked;
        }
        peer.note_received(newest.from, bytes, data != 0);
        session.note_authenticated(peer, age_ns, reports, outbound_commands);
    }
}

/// Returns the messages that may be opened, and counts the others as dropped. If all may, none is copied to `storage`.
fn filter_by_window<'a>(
    messages: &'a [DataMessage],
    window: &ReplayWindow,
    storage: &'a mut Vec<DataMessage>,
    datagrams: &mut DatagramTally,
) -> &'a [DataMessage] {
    if messages.iter().all(|message| window.check(message.slot.counter)) {
        return messages;
    }
    storage.clear();
    for message in messages {
        if message.slot.counter >= REJECT_AFTER_MESSAGES {
            datagrams.drop(DatagramDrop::Expired, 1);
        } else if !window.check(message.slot.counter) {
            datagrams.drop(DatagramDrop::Replay, 1);
        } else {
            storage.push(*message);
        }
    }
    storage
}

/// How much longer a datagram is than its text.
const DATAGRAM_OVERHEAD: u64 = (DATA_HEADER_LENGTH + TAG_LENGTH) as u64;

/// Parses an opened packet, checks that its peer may send it, merges the outer ECN into it, and appends it to
/// `frames`. Returns whether it was marked.
fn accept_packet(
    slot: Slot,
    outer_ecn: u8,
    peer: PeerId,
    buffer: &mut [u8],
    source_check: &mut SourceCheck,
    frames: &mut Vec<Frame>,
) -> Result<bool, InboundDrop> {
    let Slot { offset, length, .. } = slot;
    let text = &mut buffer[offset as usize..(offset + length) as usize];
    let mut frame = packet::parse(text, offset).map_err(|_| InboundDrop::InvalidPacket)?;
    if !source_check.allows(peer, &frame) {
        return Err(InboundDrop::SourceNotAllowed);
    }
    frame.peer = peer.0;
    let marked = match merge_ecn(outer_ecn, frame.ds & 0b11) {
        EcnMerge::Keep => false,
        EcnMerge::Set(ecn) => {
            mark(&mut frame, text, ecn);
            true
        }
        EcnMerge::Drop => return Err(InboundDrop::EcnNotCapable),
    };
    frames.push(frame);
    Ok(marked)
}
