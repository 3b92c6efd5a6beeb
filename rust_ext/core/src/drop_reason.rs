//! Why a packet left the tunnel's paths without arriving: a closed list, each with a counter.

macro_rules! reasons {
    ($(#[$outer:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident => $text:literal),+ $(,)? }) => {
        $(#[$outer])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum $name { $($(#[$doc])* $variant),+ }

        impl $name {
            /// Every reason, in the order of its number.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name operators see, and that counters carry.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }
    };
}

reasons! {
    /// Why a frame was dropped on its way out. Counted in inner segments.
    OutboundDrop {
        /// The virtio-net header contradicts the frame.
        VirtioHeader => "virtio_header",
        /// Not an IPv4 or IPv6 packet, or its header lies about its length.
        InvalidPacket => "invalid_packet",
        /// A queue stood at the TUN, and it could not be marked (CoDel, RFC 8289).
        Congested => "congested",
        /// No peer's allowed IPs cover the destination.
        NoRoute => "no_route",
        /// The peer has no endpoint yet.
        NoEndpoint => "no_endpoint",
        /// The staging queue was full: the oldest went.
        StagedOverflow => "staged_overflow",
        /// The handshake was given up, or the peer removed, while the frame was staged.
        StagedExpired => "staged_expired",
        /// The segment does not fit into a datagram.
        TooBig => "too_big",
        /// The kernel refused the datagram (EPERM, ENETUNREACH, …).
        SendError => "send_error",
        /// A stage dropped it.
        Stage => "stage",
        /// A stage did not return in time.
        StageStalled => "stage_stalled",
    }
}

reasons! {
    /// Why a datagram was dropped before a packet came out of it. Counted in datagrams.
    DatagramDrop {
        /// Not a WireGuard message of a known type and length, and no handler wants it.
        Unknown => "unknown",
        /// Truncated by the kernel: longer than the receive buffer.
        Truncated => "truncated",
        /// The handshake queue was full.
        HandshakeOverflow => "handshake_overflow",
        /// No session has this receiver index.
        NoSession => "no_session",
        /// The session's keys are too old (180 s) or spent.
        Expired => "expired",
        /// The counter was seen before, or lies behind the window.
        Replay => "replay",
        /// The tag is wrong.
        Forged => "forged",
    }
}

reasons! {
    /// Why control dropped a handshake message. Counted in datagrams.
    HandshakeDrop {
        /// Not of type 1, 2 or 3, of another length than its type's, or reserved bytes not 0.
        Malformed => "malformed",
        /// We have no private key.
        NoKey => "no_key",
        /// mac1 is wrong: it was made for another public key than ours.
        InvalidMac1 => "invalid_mac1",
        /// We are under load and mac2 is missing or wrong: a cookie was sent.
        CookieRequired => "cookie_required",
        /// We are under load and the source is above its rate.
        RateLimited => "rate_limited",
        /// An initiation whose static part does not open, or a key agreement that gives zero.
        BadHandshake => "bad_handshake",
        /// An initiation by a key that is no peer's.
        UnknownPeer => "unknown_peer",
        /// An initiation with the stamp of an earlier one, or an older one.
        ReplayedTimestamp => "replayed_timestamp",
        /// An initiation within 20 ms of the peer's last.
        Flood => "flood",
        /// A response to no initiation of ours that still waits.
        StaleResponse => "stale_response",
        /// A cookie reply that answers no message of ours, or does not open.
        InvalidCookie => "invalid_cookie",
    }
}

reasons! {
    /// Why an authenticated packet was dropped on its way in. Counted in inner segments.
    InboundDrop {
        /// The opened text is not an IP packet, or its header lies about its length.
        InvalidPacket => "invalid_packet",
        /// The inner source is not among the peer's allowed IPs.
        SourceNotAllowed => "source_not_allowed",
        /// CE on the outside, Not-ECT inside (RFC 6040 §4.2).
        EcnNotCapable => "ecn_not_capable",
        /// It waited too long at our socket, with others, and cannot be marked (CoDel, RFC 8289).
        Congested => "congested",
        /// The kernel refused the frame (EIO: the link is down, EINVAL: bad header).
        WriteError => "write_error",
        /// A stage dropped it.
        Stage => "stage",
        /// A stage did not return in time.
        StageStalled => "stage_stalled",
    }
}
