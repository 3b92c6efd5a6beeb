//! The virtio-net header before each packet of a TUN with IFF_VNET_HDR.
//!
//! 10 bytes: struct virtio_net_hdr of Linux's include/uapi/linux/virtio_net.h, without the num_buffers of
//! TUNSETVNETHDRSZ 12. A TUN uses the legacy form in the host's byte order, unless TUNSETVNETLE or TUNSETVNETBE
//! was set.

/// Bytes of the header.
pub const VIRTIO_HEADER_LENGTH: usize = 10;

/// The checksum field holds only the pseudo-header's sum and must be completed (VIRTIO_NET_HDR_F_*).
pub const NEEDS_CSUM: u8 = 1;

/// A single packet (VIRTIO_NET_HDR_GSO_*).
pub const GSO_NONE: u8 = 0;
/// TCP over IPv4.
pub const GSO_TCPV4: u8 = 1;
/// TCP over IPv6.
pub const GSO_TCPV6: u8 = 4;
/// UDP datagrams of one length, the last may be shorter (USO).
pub const GSO_UDP_L4: u8 = 5;
/// Set with a TCP type if the first segment has CWR.
pub const GSO_ECN: u8 = 0x80;

/// The fields of the header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VirtioHeader {
    /// [`NEEDS_CSUM`] and other flags.
    pub flags: u8,
    /// One of the GSO constants.
    pub gso_type: u8,
    /// Bytes of all headers: a hint that must not be trusted.
    pub header_length: u16,
    /// Payload bytes of each segment but a shorter last one.
    pub gso_size: u16,
    /// Offset of the checksummed part.
    pub checksum_start: u16,
    /// Offset of the checksum field from there.
    pub checksum_offset: u16,
}

impl VirtioHeader {
    /// Reads the header at the start of `bytes`; `None` if they are too short.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let &[flags, gso_type, h0, h1, g0, g1, s0, s1, o0, o1] = bytes.first_chunk()?;
        Some(Self {
            flags,
            gso_type,
            header_length: u16::from_ne_bytes([h0, h1]),
            gso_size: u16::from_ne_bytes([g0, g1]),
            checksum_start: u16::from_ne_bytes([s0, s1]),
            checksum_offset: u16::from_ne_bytes([o0, o1]),
        })
    }

    /// Returns the bytes of the header.
    pub fn write(&self) -> [u8; VIRTIO_HEADER_LENGTH] {
        let [h0, h1] = self.header_length.to_ne_bytes();
        let [g0, g1] = self.gso_size.to_ne_bytes();
        let [s0, s1] = self.checksum_start.to_ne_bytes();
        let [o0, o1] = self.checksum_offset.to_ne_bytes();
        [self.flags, self.gso_type, h0, h1, g0, g1, s0, s1, o0, o1]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_endian = "little")]
    #[test]
    fn fields_lie_where_the_kernel_puts_them() {
        let header = VirtioHeader {
            flags: NEEDS_CSUM,
            gso_type: GSO_TCPV4,
            header_length: 0x0102,
            gso_size: 0x0304,
            checksum_start: 0x0506,
            checksum_offset: 0x0708,
        };
        let bytes = [1, 1, 2, 1, 4, 3, 6, 5, 8, 7];
        assert_eq!(header.write(), bytes);
        assert_eq!(VirtioHeader::read(&bytes), Some(header));
        assert_eq!(VirtioHeader::read(&bytes[..9]), None);
    }
}
