//! Offloads of a TUN, as flags of TUNSETOFFLOAD.

/// The kinds of super-packets that the TUN passes whole, instead of segmented, in both directions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TunOffloads {
    /// TCP over IPv4.
    pub tso4: bool,
    /// TCP over IPv6.
    pub tso6: bool,
    /// UDP over IPv4 (Linux 6.2, which accepts it only together with IPv6's).
    pub uso4: bool,
    /// UDP over IPv6 (only together with IPv4's).
    pub uso6: bool,
}

// include/uapi/linux/if_tun.h
const TUN_F_CSUM: u32 = 0x01;
const TUN_F_TSO4: u32 = 0x02;
const TUN_F_TSO6: u32 = 0x04;
const TUN_F_TSO_ECN: u32 = 0x08;
const TUN_F_USO4: u32 = 0x20;
const TUN_F_USO6: u32 = 0x40;

impl TunOffloads {
    /// All of them.
    pub const ALL: Self = Self { tso4: true, tso6: true, uso4: true, uso6: true };

    /// Returns the argument of TUNSETOFFLOAD. Checksums are always offloaded to pyfw: super-packets require
    /// it, and for single packets it is cheaper.
    pub(super) fn flags(self) -> u32 {
        let mut flags = TUN_F_CSUM;
        for (on, flag) in [
            (self.tso4, TUN_F_TSO4 | TUN_F_TSO_ECN),
            (self.tso6, TUN_F_TSO6 | TUN_F_TSO_ECN),
            (self.uso4, TUN_F_USO4),
            (self.uso6, TUN_F_USO6),
        ] {
            if on {
                flags |= flag;
            }
        }
        flags
    }

    /// Reverses [`Self::flags`].
    pub(super) fn from_flags(flags: u32) -> Self {
        Self {
            tso4: flags & TUN_F_TSO4 != 0,
            tso6: flags & TUN_F_TSO6 != 0,
            uso4: flags & TUN_F_USO4 != 0,
            uso6: flags & TUN_F_USO6 != 0,
        }
    }

    /// Returns the parts that a kernel accepts or refuses independently.
    pub(super) fn parts(self) -> [Self; 3] {
        let none = Self::default();
        [
            Self { tso4: self.tso4, ..none },
            Self { tso6: self.tso6, ..none },
            Self { uso4: self.uso4, uso6: self.uso6, ..none },
        ]
    }

    /// Returns the offloads of both.
    pub(super) fn union(self, more: Self) -> Self {
        Self::from_flags(self.flags() | more.flags())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_round_trip() {
        for bits in 0..16 {
            let on = |bit: u32| bits & (1 << bit) != 0;
            let offloads = TunOffloads { tso4: on(0), tso6: on(1), uso4: on(2), uso6: on(3) };
            assert_eq!(TunOffloads::from_flags(offloads.flags()), offloads);
            let together = offloads
                .parts()
                .into_iter()
                .fold(TunOffloads::default(), |all, part| all.union(part));
            assert_eq!(together, offloads);
        }
    }

    #[test]
    fn checksums_are_offloaded_without_any_tso_or_uso() {
        assert_eq!(TunOffloads::default().flags(), TUN_F_CSUM);
    }

    #[test]
    fn tso_includes_ecn() {
        let tso4 = TunOffloads { tso4: true, ..TunOffloads::default() };
        assert_eq!(tso4.flags(), TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO_ECN);
    }
}
