//! Sending the GSO list: `sendmmsg` with `UDP_SEGMENT`, and what to do when the kernel refuses.
//!
//! In: the list, oldest batch first. Out: datagrams, in the list's order. Drops: what the kernel
//! refuses for good, counted as `send_error`. A full socket suspends; an offload that fails is
//! given up for that destination and the same datagrams are sent again without it, none lost.
//! Order: only the oldest message is ever retried, and nothing is sent past it.

use std::{collections::HashMap, io, net::SocketAddr, net::UdpSocket as Probe, sync::Arc};

use arrayvec::ArrayVec;
use pyfw_core::{
    exchange::Report,
    gso_batch::GsoBatch,
    outbound::Outbound,
    path::{Path, Source},
    peer::PeerId,
    time::SECOND_NS,
    verdict::OutboundDrop,
};

use super::{
    capture::local_address,
    events::{Severity, Value},
    shared::{Shared, Sockets},
};
use crate::udp::{Outgoing, SendFailure, Sender, classify_send_failure};

/// Messages of one `sendmmsg`.
const MESSAGES: usize = 64;
/// How long GSO stays off for a destination that refused it, at first and at most.
const GSO_PAUSE_NS: (u64, u64) = (60 * SECOND_NS, 3600 * SECOND_NS);
/// How long a learnt path MTU is believed (RFC 8201 §4: at least 5 minutes, 10 recommended).
const MTU_BELIEVED_NS: u64 = 600 * SECOND_NS;
/// How long a source that led nowhere is left out: until control has taken it out of the path. It may
/// come back, and then the peer takes answers from no other.
const SOURCE_LEFT_OUT_NS: u64 = SECOND_NS;
/// Destinations with trouble that are remembered.
const TROUBLED: usize = 1024;

/// What became of a flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flush {
    /// The list is empty.
    Done,
    /// The socket of this family is full: go on when it is writable.
    Blocked {
        /// Which one.
        is_ipv4: bool,
    },
}

/// The sending end of the outbound path.
pub(crate) struct UdpEgress {
    sender: Sender,
    sockets: Arc<Sockets>,
    gso: bool,
    trouble: HashMap<SocketAddr, Trouble>,
    said_at_ns: u64,
}

/// What is known of a destination that refused something.
#[derive(Clone, Copy, Default)]
struct Trouble {
    gso_off_until_ns: u64,
    gso_pause_ns: u64,
    /// Longest datagram that one packet of the path carries.
    fits: Option<usize>,
    fits_until_ns: u64,
    lost_source: Option<Source>,
    lost_source_until_ns: u64,
}

impl UdpEgress {
    pub(crate) fn new(sockets: Arc<Sockets>, gso: bool) -> Self {
        Self { sender: Sender::new(), sockets, gso, trouble: HashMap::new(), said_at_ns: 0 }
    }

    pub(crate) fn rebind(&mut self, sockets: Arc<Sockets>) {
        self.sockets = sockets;
        self.trouble.clear();
    }

    /// Sends the whole list, or as much as the sockets take.
    pub(crate) fn flush(&mut self, outbound: &mut Outbound, shared: &Shared, now_ns: u64) -> Flush {
        while let Some((first, _)) = outbound.gso().oldest() {
            let (peer, path) = (first.target().peer, first.target().path);
            let sockets = Arc::clone(&self.sockets);
            let Some(socket) = sockets.towards(&path) else {
                // No IPv6 here.
                outbound.depart(usize::MAX, Some(OutboundDrop::SendError));
                continue;
            };
            let mut messages: ArrayVec<Outgoing<'_>, MESSAGES> = ArrayVec::new();
            self.plan(outbound, now_ns, &mut messages);
            let failed = Failed {
                peer,
                path,
                had_gso: messages[0].segment_size != 0,
                had_source: messages[0].path.source,
                datagrams: messages[0].datagrams(),
            };
            let sent = self.sender.send(socket, &messages).map(|n| {
                let port = socket.port();
                shared.capture.datagrams(
                    true,
                    messages[..n].iter().map(|m| {
                        let size = if m.segment_size == 0 { m.bytes.len() } else { m.segment_size };
                        (local_address(&m.path, port), m.path.destination, m.ds, size, m.bytes)
                    }),
                );
                messages[..n].iter().map(Outgoing::datagrams).collect::<ArrayVec<_, MESSAGES>>()
            });
            drop(messages);
            match sent {
                Ok(counts) => counts.into_iter().for_each(|n| outbound.depart(n, None)),
                Err(error) => {
                    let flush = self.refused(outbound, shared, now_ns, &failed, &error);
                    if flush != Flush::Done {
                        return flush;
                    }
                }
            }
        }
        Flush::Done
    }

    /// The next messages: whole batches where GSO may be used, else single datagrams.
    fn plan<'o>(
        &self,
        outbound: &'o Outbound,
        now_ns: u64,
        messages: &mut ArrayVec<Outgoing<'o>, MESSAGES>,
    ) {
        for (batch, payload) in outbound.gso().batches() {
            let target = batch.target();
            let (gso, path) = self.means(batch, payload.len(), now_ns);
            if messages
                .first()
                .is_some_and(|m| m.path.destination.is_ipv4() != target.path.destination.is_ipv4())
            {
                return;
            }
            let step = if gso { payload.len() } else { batch.segment_size() };
            for bytes in payload.chunks(step) {
                let segment_size =
                    if bytes.len() > batch.segment_size() { batch.segment_size() } else { 0 };
                let message = Outgoing { path, ds: target.ds, segment_size, bytes };
                if messages.try_push(message).is_err() {
                    return;
                }
            }
        }
    }

    /// Whether this batch may be sent at once, and by which path.
    fn means(&self, batch: &GsoBatch, length: usize, now_ns: u64) -> (bool, Path) {
        let path = batch.target().path;
        let several = length > batch.segment_size();
        if self.trouble.is_empty() {
            return (self.gso && several, path);
        }
        let Some(trouble) = self.trouble.get(&path.destination) else {
            return (self.gso && several, path);
        };
        let fits = trouble.fits.filter(|_| now_ns < trouble.fits_until_ns);
        let gso = self.gso
            && several
            && now_ns >= trouble.gso_off_until_ns
            && fits.is_none_or(|most| batch.segment_size() <= most);
        let lost = trouble.lost_source.filter(|_| now_ns < trouble.lost_source_until_ns);
        let source = path.source.filter(|source| lost != Some(*source));
        (gso, Path { source, ..path })
    }

    /// Deals with the refusal of the oldest message.
    fn refused(
        &mut self,
        outbound: &mut Outbound,
        shared: &Shared,
        now_ns: u64,
        failed: &Failed,
        error: &io::Error,
    ) -> Flush {
        let destination = failed.path.destination;
        let source = failed.had_source;
        match classify_send_failure(error, failed.had_gso, source.is_some()) {
            SendFailure::WouldBlock => {
                return Flush::Blocked { is_ipv4: destination.is_ipv4() };
            }
            // An address of ours that leads nowhere now is as bad as one that is gone: the kernel
            // chooses another, and where there is none, that is the next failure.
            SendFailure::SourceGone => self.lose_source(outbound, now_ns, failed),
            SendFailure::PathMtu | SendFailure::GsoRefused if source.is_some_and(is_gone) => {
                self.lose_source(outbound, now_ns, failed);
            }
            SendFailure::PathMtu | SendFailure::GsoRefused if failed.had_gso => {
                let segment = outbound.gso().oldest().map_or(0, |(b, _)| b.segment_size());
                let socket = self.sockets.towards(&failed.path);
                match socket.map(|socket| socket.route_mtu(&failed.path)) {
                    Some(Ok(mtu)) if segment + headers(&destination) > mtu => {
                        self.learn_mtu(shared, now_ns, &destination, mtu);
                    }
                    Some(Ok(_)) => self.pause_gso(shared, now_ns, &destination, error),
                    // No route at all: that says nothing of GSO.
                    _ => self.give_up(outbound, shared, now_ns, failed, error),
                }
            }
            SendFailure::PathMtu => {
                outbound.depart(failed.datagrams, Some(OutboundDrop::TooBig));
            }
            _ => self.give_up(outbound, shared, now_ns, failed, error),
        }
        Flush::Done
    }

    /// Drops the oldest message, and says so once a second.
    fn give_up(
        &mut self,
        outbound: &mut Outbound,
        shared: &Shared,
        now_ns: u64,
        failed: &Failed,
        error: &io::Error,
    ) {
        outbound.depart(failed.datagrams, Some(OutboundDrop::SendError));
        if now_ns.saturating_sub(self.said_at_ns) >= SECOND_NS {
            self.said_at_ns = now_ns;
            let fields = [
                ("endpoint", Value::Text(failed.path.destination.to_string())),
                ("error", Value::Text(error.to_string())),
            ];
            shared.say(Severity::Warning, "udp.send_failed", fields);
        }
    }

    fn lose_source(&mut self, outbound: &mut Outbound, now_ns: u64, failed: &Failed) {
        let trouble = self.trouble(failed.path.destination);
        trouble.lost_source = failed.had_source;
        trouble.lost_source_until_ns = now_ns + SOURCE_LEFT_OUT_NS;
        outbound.reports().push(Report::SourceLost(failed.peer));
    }

    fn learn_mtu(&mut self, shared: &Shared, now_ns: u64, to: &SocketAddr, mtu: usize) {
        let trouble = self.trouble(*to);
        trouble.fits = Some(mtu.saturating_sub(headers(to)));
        trouble.fits_until_ns = now_ns + MTU_BELIEVED_NS;
        let fields =
            [("endpoint", Value::Text(to.to_string())), ("mtu", Value::Number(mtu as i64))];
        shared.say(Severity::Info, "path.mtu_learnt", fields);
    }

    fn pause_gso(&mut self, shared: &Shared, now_ns: u64, to: &SocketAddr, error: &io::Error) {
        let trouble = self.trouble(*to);
        trouble.gso_pause_ns = (trouble.gso_pause_ns * 2).clamp(GSO_PAUSE_NS.0, GSO_PAUSE_NS.1);
        trouble.gso_off_until_ns = now_ns + trouble.gso_pause_ns;
        let fields = [
            ("endpoint", Value::Text(to.to_string())),
            ("seconds", Value::Number((trouble.gso_pause_ns / SECOND_NS) as i64)),
            ("error", Value::Text(error.to_string())),
        ];
        shared.say(Severity::Warning, "gso.paused", fields);
    }

    fn trouble(&mut self, destination: SocketAddr) -> &mut Trouble {
        if self.trouble.len() >= TROUBLED && !self.trouble.contains_key(&destination) {
            self.trouble.clear();
        }
        self.trouble.entry(destination).or_default()
    }
}

/// The oldest message, which was refused.
struct Failed {
    peer: PeerId,
    path: Path,
    had_gso: bool,
    had_source: Option<Source>,
    datagrams: usize,
}

fn headers(destination: &SocketAddr) -> usize {
    if destination.is_ipv4() { 20 + 8 } else { 40 + 8 }
}

/// Whether a local address is no longer ours: it cannot be bound.
fn is_gone(source: Source) -> bool {
    let address = match source.address {
        std::net::IpAddr::V6(v6) => std::net::SocketAddrV6::new(v6, 0, 0, source.interface).into(),
        v4 => SocketAddr::new(v4, 0),
    };
    Probe::bind(address).is_err()
}

#[cfg(test)]
mod tests;
