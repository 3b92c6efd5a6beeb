//! Drop reasons: a closed list, each with a counter.

macro_rules! reasons {
    ($(#[$outer:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident => $text:literal),+ $(,)? }) => {
        $(#[$outer])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum $name { $($(#[$doc])* $variant),+ }

        impl $name {
            /// All reasons, in numerical order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name of its counter.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }
    };
}

reasons! {
    /// Why the outbound path dropped a frame. Counted in inner segments.
    OutboundDrop {
        /// The virtio-net header contradicts the frame.
        VirtioHeader => "virtio_header",
        /// Not an IPv4 or IPv6 packet, or one with an invalid header.
        InvalidPacket => "invalid_packet",
        /// A queue stood at the TUN, and the packet is not ECN-capable (CoDel, RFC 8289).
        Congested => "congested",
        /// No peer's allowed IPs cover the destination.
        NoRoute => "no_route",
        /// The peer has no endpoint.
        NoEndpoint => "no_endpoint",
        /// The staging queue was full; the oldest frames are dropped.
        StagedOverflow => "staged_overflow",
        /// The handshake was given up, or the peer removed, while the frame was staged.
        StagedExpired => "staged_expired",
        /// A segment does not fit into a datagram, or exceeds the path MTU.
        TooBig => "too_big",
        /// The kernel refused the datagram (EPERM, ENETUNREACH, …).
        SendError => "send_error",
        /// A stage dropped it.
        Stage => "stage",
        /// Its stage did not return in time.
        StageStalled => "stage_stalled",
    }
}

reasons! {
    /// Why a datagram was dropped. Counted in datagrams.
    DatagramDrop {
        /// Not a WireGuard message of a known type and length.
        Unknown => "unknown",
        /// Longer than the receive buffer: truncated by the kernel.
        Truncated => "truncated",
        /// The handshake queue was full.
        HandshakeOverflow => "handshake_overflow",
        /// No session has this receiver index.
        NoSession => "no_session",
        /// The session's keys are too old (180 s), or its counters used up.
        Expired => "expired",
        /// The counter was seen before, or is behind the replay window.
        Replay => "replay",
        /// The authentication tag is wrong.
        Forged => "forged",
    }
}

reasons! {
    /// Why control dropped a handshake message. Counted in datagrams.
    HandshakeDrop {
        /// Not of type 1, 2 or 3, of the wrong length, or with reserved bytes that are not 0.
        Malformed => "malformed",
        /// We have no private key.
        NoKey => "no_key",
        /// mac1 is wrong: it was made for another public key.
        InvalidMac1 => "invalid_mac1",
        /// Under load, mac2 is missing or wrong: a cookie was sent.
        CookieRequired => "cookie_required",
        /// Under load, the source exceeds its rate.
        RateLimited => "rate_limited",
        /// A message that does not authenticate, or a key agreement that gives zero.
        BadHandshake => "bad_handshake",
        /// An initiation by the key of no peer.
        UnknownPeer => "unknown_peer",
        /// An initiation whose timestamp is not later than the last.
        ReplayedTimestamp => "replayed_timestamp",
        /// An initiation within 20 ms of the peer's last.
        Flood => "flood",
        /// A response to no pending initiation.
        StaleResponse => "stale_response",
        /// A cookie reply to no message of ours, or one that does not authenticate.
        InvalidCookie => "invalid_cookie",
    }
}

reasons! {
    /// Why the inbound path dropped an authenticated packet. Counted in inner segments.
    InboundDrop {
        /// Not an IPv4 or IPv6 packet, or one with an invalid header.
        InvalidPacket => "invalid_packet",
        /// The inner source is not covered by the peer's allowed IPs.
        SourceNotAllowed => "source_not_allowed",
        /// The datagram is marked CE, the packet is not ECN-capable (RFC 6040 §4.2).
        EcnNotCapable => "ecn_not_capable",
        /// A queue stood at our socket, and the packet is not ECN-capable (CoDel, RFC 8289).
        Congested => "congested",
        /// The kernel refused the frame (EIO: the link is down; EINVAL: bad header).
        WriteError => "write_error",
        /// A stage dropped it.
        Stage => "stage",
        /// Its stage did not return in time.
        StageStalled => "stage_stalled",
    }
}
