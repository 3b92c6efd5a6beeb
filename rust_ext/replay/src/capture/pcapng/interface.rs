//! Interface descriptions: link type, snap length, name and unit of time (draft-ietf-opsawg-pcapng §4.2).

use pyfw_core::time::SECOND_NS;

use super::super::{link::LinkType, record::ByteOrder};

/// Fixed fields before the options.
pub(super) const FIELDS: usize = 8;

/// Section 4.2: option codes.
const END: u16 = 0;
const NAME: u16 = 2;
const TIME_RESOLUTION: u16 = 9;
const TIME_OFFSET: u16 = 14;

/// An interface of the current section.
pub(super) struct Interface {
    link_number: u16,
    pub(super) snap_length: u32,
    pub(super) name: Option<String>,
    pub(super) time: TimeFormat,
}

impl Interface {
    /// Reads a description. A truncated option ends the list.
    pub(super) fn parse(order: ByteOrder, body: &[u8]) -> Self {
        let mut interface = Self {
            link_number: order.u16_at(body, 0),
            snap_length: order.u32_at(body, 4),
            name: None,
            time: TimeFormat::default(),
        };
        for (code, value) in options(order, &body[FIELDS..]) {
            match (code, value) {
                (NAME, name) => interface.name = Some(String::from_utf8_lossy(name).into_owned()),
                (TIME_RESOLUTION, [resolution]) => interface.time.resolution = *resolution,
                (TIME_OFFSET, offset @ [_, _, _, _, _, _, _, _]) => {
                    let (first, second) = (order.u32_at(offset, 0), order.u32_at(offset, 4));
                    let (high, low) = match order {
                        ByteOrder::Little => (second, first),
                        ByteOrder::Big => (first, second),
                    };
                    interface.time.offset_s = (u64::from(high) << 32 | u64::from(low)) as i64;
                }
                _ => {}
            }
        }
        interface
    }

    /// Returns the link type, or an error text. An unsupported link type matters only once it has a packet.
    #[inline]
    pub(super) fn link(&self) -> Result<LinkType, String> {
        LinkType::from_number(self.link_number)
            .ok_or_else(|| LinkType::unsupported(self.link_number))
    }
}

/// The unit and offset of an interface's time stamps.
#[derive(Clone, Copy)]
pub(super) struct TimeFormat {
    /// A negative power of 10, or of 2 if the upper bit is set.
    resolution: u8,
    offset_s: i64,
}

impl Default for TimeFormat {
    /// Section 4.2, if_tsresol: the default is microseconds.
    fn default() -> Self {
        Self { resolution: 6, offset_s: 0 }
    }
}

impl TimeFormat {
    /// Returns nanoseconds since the epoch, clamped to 64 bits.
    #[inline]
    pub(super) fn ns(self, stamp: u64) -> u64 {
        let ns = match self.resolution {
            9 => u128::from(stamp),
            6 => u128::from(stamp) * 1000,
            // 2^64 × 10^9 is below 2^94, so it fits.
            power if power & 0x80 != 0 => {
                (u128::from(stamp) * u128::from(SECOND_NS)) >> (power & 0x7f)
            }
            power @ ..9 => u128::from(stamp) * 10u128.pow(9 - u32::from(power)),
            power => 10u128
                .checked_pow(u32::from(power) - 9)
                .map_or(0, |divisor| u128::from(stamp) / divisor),
        };
        let ns = ns.saturating_add_signed(i128::from(self.offset_s) * i128::from(SECOND_NS));
        u64::try_from(ns).unwrap_or(u64::MAX)
    }
}

/// Returns the options of a block, up to the last complete one (section 3.5).
fn options(order: ByteOrder, mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let head = bytes.get(..4)?;
        let (code, length) = (order.u16_at(head, 0), usize::from(order.u16_at(head, 2)));
        let value = bytes.get(4..4 + length)?;
        bytes = bytes.get(4 + length.next_multiple_of(4)..).unwrap_or_default();
        (code != END).then_some((code, value))
    })
}
