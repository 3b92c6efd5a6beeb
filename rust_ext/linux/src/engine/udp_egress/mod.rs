//! Sends the GSO list with `sendmmsg` and `UDP_SEGMENT`, and handles the kernel's refusals.
//!
//! Batches leave oldest first. A full socket suspends the path. An offload that fails is disabled for that
//! destination, and the same datagrams are sent again without it. What the kernel refuses for good is dropped
//! as `send_error` or `too_big`. Only the oldest message is retried, and nothing is sent past it.

mod destination_cache;

use std::{
    io,
    net::{IpAddr, SocketAddr, SocketAddrV6, UdpSocket as StdSocket},
    sync::Arc,
};

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

use self::destination_cache::{DestinationCache, MtuChange, SendOptions};
use super::{
    capture::local_address,
    events::{Severity, Value},
    shared::{Shared, Sockets},
};
use crate::sys::udp::{Outgoing, SendFailure, Sender, UdpSocket, classify_send_failure};

/// Messages of one `sendmmsg`.
const MESSAGES: usize = 64;

/// The result of a flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flush {
    Done,
    /// The socket of this family is full: flush again when it is writable.
    Blocked {
        is_ipv4: bool,
    },
}

/// The last step of the outbound path.
pub(crate) struct UdpEgress {
    sender: Sender,
    sockets: Arc<Sockets>,
    has_gso: bool,
    destinations: DestinationCache,
}

impl UdpEgress {
    pub(crate) fn new(sockets: Arc<Sockets>, has_gso: bool) -> Self {
        Self { sender: Sender::new(), sockets, has_gso, destinations: DestinationCache::default() }
    }

    pub(crate) fn rebind(&mut self, sockets: Arc<Sockets>) {
        self.sockets = sockets;
        // What the kernel reported for the replaced sockets may not apply to these.
        self.destinations.clear();
    }

    /// Sends the list, except its newest `held` batches, until a socket is full.
    pub(crate) fn flush(
        &mut self,
        outbound: &mut Outbound,
        held: usize,
        shared: &Shared,
        now_ns: u64,
    ) -> Flush {
        while let Some((batch, _)) = outbound.gso().oldest() {
            let leaving = outbound.gso().len().saturating_sub(held);
            if leaving == 0 {
                break;
            }
            let (peer, path) = (batch.target().peer, batch.target().path);
            let sockets = Arc::clone(&self.sockets);
            let segment_size = batch.segment_size();
            let Some(socket) = sockets.of_family(path.destination.is_ipv4()) else {
                // The machine has no IPv6.
                outbound.complete(usize::MAX, Some(OutboundDrop::SendError));
                continue;
            };
            if self.destinations.is_mtu_check_due(&path.destination, now_ns) {
                self.update_route_mtu(shared, socket, &path, segment_size);
            }
            outbound.set_max_datagram_size(
                peer,
                self.destinations.max_datagram_size(&path.destination),
                now_ns,
            );
            let mut messages: ArrayVec<Outgoing<'_>, MESSAGES> = ArrayVec::new();
            self.plan(outbound, leaving, now_ns, &mut messages);
            let oldest = OldestMessage {
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
                    let flush = self.handle_refusal(outbound, shared, now_ns, &oldest, &error);
                    if flush != Flush::Done {
                        return flush;
                    }
                }
            }
        }
        Flush::Done
    }

    /// Fills `messages` from the first `leaving` batches, up to a change of family: one message per batch if
    /// it may use GSO, else one per datagram.
    fn plan<'o>(
        &self,
        outbound: &'o Outbound,
        leaving: usize,
        now_ns: u64,
        messages: &mut ArrayVec<Outgoing<'o>, MESSAGES>,
    ) {
        // Most drains have one destination.
        let mut cached: Option<(SocketAddr, SendOptions)> = None;
        for (batch, payload) in outbound.gso().batches().take(leaving) {
            let target = batch.target();
            let destination = target.path.destination;
            if messages
                .first()
                .is_some_and(|m| m.path.destination.is_ipv4() != destination.is_ipv4())
            {
                return;
            }
            let send_options = match cached {
                Some((cached, send_options)) if cached == destination => send_options,
                _ => self.destinations.send_options(&destination, now_ns),
            };
            cached = Some((destination, send_options));
            let segment_size = batch.segment_size();
            let uses_gso = self.has_gso
                && payload.len() > segment_size
                && send_options.allows_gso(segment_size);
            let path = send_options.path(target.path);
            for bytes in payload.chunks(if uses_gso { payload.len() } else { segment_size }) {
                let segment_size = if bytes.len() > segment_size { segment_size } else { 0 };
                let message = Outgoing { path, ds: target.ds, segment_size, bytes };
                if messages.try_push(message).is_err() {
                    return;
                }
            }
        }
    }

    /// Reads the MTU of the route to a destination.
    fn update_route_mtu(
        &mut self,
        shared: &Shared,
        socket: &UdpSocket,
        path: &Path,
        segment_size: usize,
    ) {
        // Without a route, or with a source that is gone, the send fails and is handled.
        let Ok(mtu) = socket.route_mtu(path) else { return };
        let to = path.destination;
        let change = self.destinations.set_mtu(&to, mtu);
        let is_narrow =
            self.destinations.max_datagram_size(&to).is_some_and(|max| segment_size > max);
        if change == MtuChange::Changed || change == MtuChange::First && is_narrow {
            report_route_mtu(shared, &to, mtu);
        }
    }

    /// Handles the refusal of the oldest message.
    fn handle_refusal(
        &mut self,
        outbound: &mut Outbound,
        shared: &Shared,
        now_ns: u64,
        oldest: &OldestMessage,
        error: &io::Error,
    ) -> Flush {
        let destination = oldest.path.destination;
        let source = oldest.had_source;
        match classify_send_failure(error, oldest.had_gso, source.is_some()) {
            SendFailure::WouldBlock => {
                return Flush::Blocked { is_ipv4: destination.is_ipv4() };
            }
            // An own address without a route is handled as one that is gone: the kernel chooses another
            // source, and if there is none, the next send fails with another error.
            SendFailure::SourceGone => self.pause_source(outbound, shared, now_ns, oldest),
            SendFailure::PathMtu | SendFailure::GsoRefused if source.is_some_and(is_removed) => {
                self.pause_source(outbound, shared, now_ns, oldest);
            }
            SendFailure::PathMtu | SendFailure::GsoRefused if oldest.had_gso => {
                let segment_size = outbound.gso().oldest().map_or(0, |(b, _)| b.segment_size());
                let socket = self.sockets.of_family(destination.is_ipv4());
                match socket.map(|socket| socket.route_mtu(&oldest.path)) {
                    Some(Ok(mtu)) => {
                        if self.destinations.set_mtu(&destination, mtu) != MtuChange::None {
                            report_route_mtu(shared, &destination, mtu);
                        }
                        let max_datagram_size = self.destinations.max_datagram_size(&destination);
                        outbound.set_max_datagram_size(oldest.peer, max_datagram_size, now_ns);
                        if max_datagram_size.is_none_or(|max| segment_size <= max) {
                            self.pause_gso(shared, now_ns, &destination, error);
                        }
                    }
                    // There is no route: the refusal is not about GSO.
                    _ => self.drop_oldest(outbound, shared, now_ns, oldest, error),
                }
            }
            SendFailure::PathMtu => {
                outbound.complete(oldest.datagrams, Some(OutboundDrop::TooBig));
            }
            _ => self.drop_oldest(outbound, shared, now_ns, oldest, error),
        }
        Flush::Done
    }

    /// Drops the oldest message, and logs the start of an outage.
    fn drop_oldest(
        &mut self,
        outbound: &mut Outbound,
        shared: &Shared,
        now_ns: u64,
        oldest: &OldestMessage,
        error: &io::Error,
    ) {
        outbound.complete(oldest.datagrams, Some(OutboundDrop::SendError));
        let to = oldest.path.destination;
        if self.destinations.fail(&to, oldest.datagrams, now_ns) {
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
            if let Some(lost) = destinations.succeed(&to) {
                let fields = [
                    ("endpoint", Value::Text(to.to_string())),
                    ("datagrams", Value::Number(lost as i64)),
                ];
                shared.emit_event(Severity::Info, "udp.send_recovered", fields);
            }
        }
    }

    fn pause_source(
        &mut self,
        outbound: &mut Outbound,
        shared: &Shared,
        now_ns: u64,
        oldest: &OldestMessage,
    ) {
        self.destinations.pause_source(&oldest.path.destination, oldest.had_source, now_ns);
        outbound.reports().push(Report::SourceLost(oldest.peer));
        let source = oldest.had_source.map(|source| source.address.to_string());
        let fields = [
            ("endpoint", Value::Text(oldest.path.destination.to_string())),
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

/// The oldest message of a `sendmmsg`: the one that a refusal is about.
struct OldestMessage {
    peer: PeerId,
    path: Path,
    had_gso: bool,
    had_source: Option<Source>,
    datagrams: usize,
}

/// Whether an address was removed from this machine: it cannot be bound.
fn is_removed(source: Source) -> bool {
    let address = match source.address {
        IpAddr::V6(v6) => SocketAddrV6::new(v6, 0, 0, source.interface).into(),
        v4 => SocketAddr::new(v4, 0),
    };
    StdSocket::bind(address).is_err()
}

#[cfg(test)]
mod tests;
