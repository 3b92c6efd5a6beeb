//! Sending the GSO list: `sendmmsg` with `UDP_SEGMENT`, and what to do when the kernel refuses.
//!
//! In: the list, oldest batch first. Out: datagrams, in the list's order. Drops: what the kernel
//! refuses for good, counted as `send_error`. A full socket suspends; an offload that fails is
//! given up for that destination and the same datagrams are sent again without it, none lost.
//! Order: only the oldest message is ever retried, and nothing is sent past it.

use std::{io, net::SocketAddr, net::UdpSocket as Probe, sync::Arc};

use arrayvec::ArrayVec;
use pyfw_core::{
    drop_reason::OutboundDrop,
    outbound::Outbound,
    time::SECOND_NS,
    wireguard::{
        commands::Report,
        path::{Path, Source},
        peer::PeerId,
    },
};

use super::{
    capture::local_address,
    destination_cache::{DestinationCache, MtuChange, SendOptions},
    events::{Severity, Value},
    shared::{Shared, Sockets},
};
use crate::sys::udp::{Outgoing, SendFailure, Sender, UdpSocket, classify_send_failure};

/// Messages of one `sendmmsg`.
const MESSAGES: usize = 64;

/// What became of a flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flush {
    /// What was to leave has left.
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
    destinations: DestinationCache,
}

impl UdpEgress {
    pub(crate) fn new(sockets: Arc<Sockets>, gso: bool) -> Self {
        Self { sender: Sender::new(), sockets, gso, destinations: DestinationCache::default() }
    }

    pub(crate) fn rebind(&mut self, sockets: Arc<Sockets>) {
        self.sockets = sockets;
        self.destinations.forget();
    }

    /// Sends the list but for its newest `kept` batches, or as much of it as the sockets take.
    pub(crate) fn flush(
        &mut self,
        outbound: &mut Outbound,
        kept: usize,
        shared: &Shared,
        now_ns: u64,
    ) -> Flush {
        while let Some((first, _)) = outbound.gso().oldest() {
            let leaving = outbound.gso().len().saturating_sub(kept);
            if leaving == 0 {
                break;
            }
            let (peer, path) = (first.target().peer, first.target().path);
            let sockets = Arc::clone(&self.sockets);
            let segment = first.segment_size();
            let Some(socket) = sockets.towards(&path) else {
                // No IPv6 here.
                outbound.complete(usize::MAX, Some(OutboundDrop::SendError));
                continue;
            };
            if self.destinations.is_due(&path.destination, now_ns) {
                self.update_route_mtu(shared, socket, &path, segment);
            }
            outbound.set_max_datagram_size(
                peer,
                self.destinations.max_datagram_size(&path.destination),
                now_ns,
            );
            let mut messages: ArrayVec<Outgoing<'_>, MESSAGES> = ArrayVec::new();
            self.plan(outbound, leaving, now_ns, &mut messages);
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
                if self.destinations.has_outages() {
                    let sent = messages[..n].iter().map(|message| message.path.destination);
                    Self::note_sent(&mut self.destinations, sent, shared);
                }
                messages[..n].iter().map(Outgoing::datagrams).collect::<ArrayVec<_, MESSAGES>>()
            });
            drop(messages);
            match sent {
                Ok(counts) => counts.into_iter().for_each(|n| outbound.complete(n, None)),
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

    /// The next messages, of the first `leaving` batches: whole ones where GSO may be used, else single datagrams.
    fn plan<'o>(
        &self,
        outbound: &'o Outbound,
        leaving: usize,
        now_ns: u64,
        messages: &mut ArrayVec<Outgoing<'o>, MESSAGES>,
    ) {
        // A drain mostly goes to one destination.
        let mut known: Option<(SocketAddr, SendOptions)> = None;
        for (batch, payload) in outbound.gso().batches().take(leaving) {
            let target = batch.target();
            let destination = target.path.destination;
            if messages
                .first()
                .is_some_and(|m| m.path.destination.is_ipv4() != destination.is_ipv4())
            {
                return;
            }
            let send_options = match known {
                Some((known, send_options)) if known == destination => send_options,
                _ => self.destinations.send_options(&destination, now_ns),
            };
            known = Some((destination, send_options));
            let segment = batch.segment_size();
            let gso = self.gso && payload.len() > segment && send_options.takes_batches_of(segment);
            let path = send_options.path(target.path);
            let step = if gso { payload.len() } else { segment };
            for bytes in payload.chunks(step) {
                let segment_size = if bytes.len() > segment { segment } else { 0 };
                let message = Outgoing { path, ds: target.ds, segment_size, bytes };
                if messages.try_push(message).is_err() {
                    return;
                }
            }
        }
    }

    /// Asks the kernel what the way carries.
    fn update_route_mtu(
        &mut self,
        shared: &Shared,
        socket: &UdpSocket,
        path: &Path,
        segment: usize,
    ) {
        // Without a route, or with a source that is gone, sending will tell.
        let Ok(mtu) = socket.route_mtu(path) else { return };
        let to = path.destination;
        let change = self.destinations.set_mtu(&to, mtu);
        let is_narrow = self
            .destinations
            .max_datagram_size(&to)
            .is_some_and(|max_datagram_size| segment > max_datagram_size);
        if change == MtuChange::Changed || change == MtuChange::First && is_narrow {
            report_route_mtu(shared, &to, mtu);
        }
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
            SendFailure::SourceGone => self.lose_source(outbound, shared, now_ns, failed),
            SendFailure::PathMtu | SendFailure::GsoRefused if source.is_some_and(is_gone) => {
                self.lose_source(outbound, shared, now_ns, failed);
            }
            SendFailure::PathMtu | SendFailure::GsoRefused if failed.had_gso => {
                let segment = outbound.gso().oldest().map_or(0, |(b, _)| b.segment_size());
                let socket = self.sockets.towards(&failed.path);
                match socket.map(|socket| socket.route_mtu(&failed.path)) {
                    Some(Ok(mtu)) => {
                        if self.destinations.set_mtu(&destination, mtu) != MtuChange::None {
                            report_route_mtu(shared, &destination, mtu);
                        }
                        let max_datagram_size = self.destinations.max_datagram_size(&destination);
                        outbound.set_max_datagram_size(failed.peer, max_datagram_size, now_ns);
                        if max_datagram_size
                            .is_none_or(|max_datagram_size| segment <= max_datagram_size)
                        {
                            self.pause_gso(shared, now_ns, &destination, error);
                        }
                    }
                    // No route at all: that says nothing of GSO.
                    _ => self.give_up(outbound, shared, now_ns, failed, error),
                }
            }
            SendFailure::PathMtu => {
                outbound.complete(failed.datagrams, Some(OutboundDrop::TooBig));
            }
            _ => self.give_up(outbound, shared, now_ns, failed, error),
        }
        Flush::Done
    }

    /// Drops the oldest message, and says so where it is outbound_commands.
    fn give_up(
        &mut self,
        outbound: &mut Outbound,
        shared: &Shared,
        now_ns: u64,
        failed: &Failed,
        error: &io::Error,
    ) {
        outbound.complete(failed.datagrams, Some(OutboundDrop::SendError));
        let to = failed.path.destination;
        if self.destinations.fail(&to, failed.datagrams, now_ns) {
            let fields = [
                ("endpoint", Value::Text(to.to_string())),
                ("error", Value::Text(error.to_string())),
            ];
            shared.emit_event(Severity::Warning, "udp.send_failed", fields);
        }
    }

    fn note_sent(
        destinations: &mut DestinationCache,
        sent: impl Iterator<Item = SocketAddr>,
        shared: &Shared,
    ) {
        for to in sent {
            if let Some(failed) = destinations.succeed(&to) {
                let fields = [
                    ("endpoint", Value::Text(to.to_string())),
                    ("datagrams", Value::Number(failed as i64)),
                ];
                shared.emit_event(Severity::Info, "udp.send_recovered", fields);
            }
        }
    }

    fn lose_source(
        &mut self,
        outbound: &mut Outbound,
        shared: &Shared,
        now_ns: u64,
        failed: &Failed,
    ) {
        self.destinations.lose_source(&failed.path.destination, failed.had_source, now_ns);
        outbound.reports().push(Report::SourceLost(failed.peer));
        let source = failed.had_source.map(|source| source.address.to_string());
        let fields = [
            ("endpoint", Value::Text(failed.path.destination.to_string())),
            ("source", Value::Text(source.unwrap_or_default())),
        ];
        shared.emit_event(Severity::Info, "path.source_lost", fields);
    }

    fn pause_gso(&mut self, shared: &Shared, now_ns: u64, to: &SocketAddr, error: &io::Error) {
        let seconds = self.destinations.pause_gso(to, now_ns) / SECOND_NS;
        let fields = [
            ("endpoint", Value::Text(to.to_string())),
            ("seconds", Value::Number(seconds as i64)),
            ("error", Value::Text(error.to_string())),
        ];
        shared.emit_event(Severity::Warning, "gso.paused", fields);
    }
}

fn report_route_mtu(shared: &Shared, to: &SocketAddr, mtu: usize) {
    let fields = [("endpoint", Value::Text(to.to_string())), ("mtu", Value::Number(mtu as i64))];
    shared.emit_event(Severity::Info, "path.mtu_learnt", fields);
}

/// The oldest message, which was refused.
struct Failed {
    peer: PeerId,
    path: Path,
    had_gso: bool,
    had_source: Option<Source>,
    datagrams: usize,
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
