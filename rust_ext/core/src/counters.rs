//! What is counted, so that nothing vanishes: in + created = out + Σ drops + queued (design §3.7).
//!
//! Each path counts in a plain tally of its own and publishes it once a batch; anyone may read what
//! was published. Unit: inner segments (a frame counts as its segments), for `DatagramTally`
//! datagrams.

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
            /// Counts `n` drops.
            pub fn drop(&mut self, reason: $drop, n: u64) {
                self.drops[reason as usize] += n;
            }

            /// Every count but the drops, with its name.
            pub fn fields(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($field), self.$field)),+]
            }

            /// Every drop count with the name of its reason.
            pub fn named_drops(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
                $drop::ALL.iter().map(|&reason| (reason.name(), self.drops[reason as usize]))
            }

            /// All drops together.
            pub fn dropped(&self) -> u64 {
                self.drops.iter().sum()
            }
        }

        #[doc = concat!("What was published of a [`", stringify!($tally), "`].")]
        #[derive(Debug, Default)]
        pub struct $counts {
            $($field: AtomicU64,)+
            drops: [AtomicU64; $drop::ALL.len()],
        }

        impl $counts {
            /// Shows a tally to all readers. A tally has one writer, so plain stores do.
            pub fn publish(&self, tally: &$tally) {
                $(self.$field.store(tally.$field, Relaxed);)+
                for (shown, count) in self.drops.iter().zip(tally.drops) {
                    shown.store(count, Relaxed);
                }
            }

            /// What was published last.
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
        /// Read from the TUN (for one peer: routed to it).
        entered,
        /// Made here: by a stage, or as a refusal.
        created,
        /// Taken by the kernel in datagrams.
        left,
        /// Waiting: held by a stage, staged for a session, or in the GSO list.
        queued,
        /// Packets whose ECN field was set to CE: a queue stood at the TUN (RFC 8289).
        marked,
    }
}

tally! {
    /// Datagrams received: received = data + handshakes + cookies + keepalives + others + Σ drops.
    DatagramTally published as DatagramCounts, dropped by DatagramDrop {
        /// All that the sockets gave.
        received,
        /// Data messages, authenticated, with a packet in them: what enters the inbound path.
        data,
        /// Handshake initiations and responses, handed to control.
        handshakes,
        /// Cookie replies, handed to control.
        cookies,
        /// Data messages, authenticated and empty.
        keepalives,
        /// Messages of another protocol, given to its handler.
        others,
    }
}

tally! {
    /// What control did with handshake messages: received = taken + Σ drops.
    HandshakeTally published as HandshakeCounts, dropped by HandshakeDrop {
        /// All that the inbound path handed over.
        received,
        /// Initiations and responses that were right, and cookies that were kept.
        taken,
        /// Initiations sent.
        initiations,
        /// Responses sent.
        responses,
        /// Cookie replies sent.
        cookie_replies,
        /// Handshakes that both ends have completed.
        completed,
    }
}

tally! {
    /// The inbound path: entered + created = left + queued + Σ drops.
    InboundTally published as InboundCounts, dropped by InboundDrop {
        /// Packets that came out of data messages.
        entered,
        /// Made here: by a stage.
        created,
        /// Taken by the kernel in frames.
        left,
        /// Held by a stage.
        queued,
        /// Messages whose counter was below the highest already seen in their session.
        late,
        /// Packets whose ECN field was set to CE: the datagram's was (RFC 6040), or they waited too long
        /// at our socket (RFC 8289).
        marked,
    }
}
