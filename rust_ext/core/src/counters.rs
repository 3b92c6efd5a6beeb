//! Counters that account for every packet: entered + created = left + queued + Σ drops.
//!
//! Each path counts in a plain tally of its own and publishes it once a batch; any thread may read the published
//! counts. The unit is the inner segment (a frame counts as its segments); for datagrams and handshakes, the
//! datagram.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::drop_reason::{DatagramDrop, HandshakeDrop, InboundDrop, OutboundDrop};

macro_rules! tally {
    (
        $(#[$outer:meta])* $tally:ident published as $counts:ident, dropped by $drop:ident {
            $($(#[$doc:meta])* $field:ident),+ $(,)?
        }
    ) => {
        $(#[$outer])*
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct $tally {
            $($(#[$doc])* pub $field: u64,)+
            /// Dropped, by reason.
            pub drops: [u64; $drop::ALL.len()],
        }

        impl $tally {
            /// Counts `n` drops for a reason.
            pub fn drop(&mut self, reason: $drop, n: u64) {
                self.drops[reason as usize] += n;
            }

            /// All counts but the drops, with their names.
            pub fn fields(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($field), self.$field)),+]
            }

            /// All drop counts with the names of their reasons.
            pub fn named_drops(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
                $drop::ALL.iter().map(|&reason| (reason.name(), self.drops[reason as usize]))
            }

            /// The sum of all drops.
            pub fn dropped(&self) -> u64 {
                self.drops.iter().sum()
            }
        }

        #[doc = concat!("The published counts of a [`", stringify!($tally), "`].")]
        #[derive(Debug, Default)]
        pub struct $counts {
            $($field: AtomicU64,)+
            drops: [AtomicU64; $drop::ALL.len()],
        }

        impl $counts {
            /// Publishes a tally to all readers. It has one writer, so plain stores suffice.
            pub fn publish(&self, tally: &$tally) {
                $(self.$field.store(tally.$field, Relaxed);)+
                for (published, count) in self.drops.iter().zip(tally.drops) {
                    published.store(count, Relaxed);
                }
            }

            /// Returns the counts that were published last.
            pub fn read(&self) -> $tally {
                $tally {
                    $($field: self.$field.load(Relaxed),)+
                    drops: std::array::from_fn(|i| self.drops[i].load(Relaxed)),
                }
            }
        }
    };
}

tally! {
    /// The outbound path: entered + created = left + queued + Σ drops.
    OutboundTally published as OutboundCounts, dropped by OutboundDrop {
        /// Read from the TUN (of a peer: routed to it).
        entered,
        /// Created by a stage.
        created,
        /// Sent: the kernel has accepted its datagram.
        left,
        /// Waiting: held by a stage, staged for a session, or in the GSO list.
        queued,
        /// Packets marked CE because a queue stood at the TUN (RFC 8289).
        marked,
    }
}

tally! {
    /// Datagrams received: received = data + handshakes + cookies + keepalives + others + Σ drops.
    DatagramTally published as DatagramCounts, dropped by DatagramDrop {
        /// All datagrams from the sockets.
        received,
        /// Authenticated data messages with a packet, which enters the inbound path.
        data,
        /// Handshake initiations and responses, passed to control.
        handshakes,
        /// Cookie replies, passed to control.
        cookies,
        /// Authenticated data messages without a packet.
        keepalives,
        /// Messages of another protocol, passed to its handler.
        others,
    }
}

tally! {
    /// Handshake messages at control: received = taken + Σ drops.
    HandshakeTally published as HandshakeCounts, dropped by HandshakeDrop {
        /// All messages from the inbound path.
        received,
        /// Valid initiations, responses and cookie replies.
        taken,
        /// Initiations sent.
        initiations,
        /// Responses sent.
        responses,
        /// Cookie replies sent.
        cookie_replies,
        /// Handshakes completed by both ends.
        completed,
    }
}

tally! {
    /// The inbound path: entered + created = left + queued + Σ drops.
    InboundTally published as InboundCounts, dropped by InboundDrop {
        /// Packets of data messages.
        entered,
        /// Created: by a stage, or as an ICMP error.
        created,
        /// Written: the kernel has accepted the frame.
        left,
        /// Held by a stage.
        queued,
        /// Messages whose counter is below the highest seen in their session.
        late,
        /// Packets whose ECN field was changed: their datagram's field was merged into it (RFC 6040), or a
        /// queue stood at our socket (RFC 8289).
        marked,
    }
}
