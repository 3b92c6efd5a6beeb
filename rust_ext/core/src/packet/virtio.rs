//! The virtio-net header that goes before each packet on a TUN with IFF_VNET_HDR.
//!
//! In and out: 10 bytes (struct virtio_net_hdr in Linux's include/uapi/linux/virtio_net.h, without
//! the num_buffers of TUNSETVNETHDRSZ 12). A TUN speaks the legacy form, in the host's byte order
//! unless TUNSETVNETLE or TUNSETVNETBE was asked for: little endian wherever this is built.

/// Bytes of the header.
pub const VIRTIO_HEADER_LENGTH: usize = 10;

/// The checksum field holds only the pseudo-header's sum: complete it (VIRTIO_NET_HDR_F_*).
pub const NEEDS_CSUM: u8 = 1;

/// One packet as it is (VIRTIO_NET_HDR_GSO_*).
pub const GSO_NONE: u8 = 0;
/// TCP over IPv4.
pub const GSO_TCPV4: u8 = 1;
/// TCP over IPv6.
pub const GSO_TCPV6: u8 = 4;
/// UDP datagrams of one length (USO).
pub const GSO_UDP_L4: u8 = 5;
/// Joined to a TCP type: the first segment has CWR.
pub const GSO_ECN: u8 = 0x80;

/// The header's fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VirtioHeader {
    /// [`NEEDS_CSUM`] and others.
    pub flags: u8,
    /// One of the GSO constants.
    pub gso_type: u8,
    /// Bytes of all headers: a hint, which nobody may trust.
    pub header_length: u16,
    /// Payload bytes of each segment but the last.
    pub gso_size: u16,
    /// Where the checksummed part starts.
    pub checksum_start: u16,
    /// Where the checksum field is, from there.
    pub checksum_offset: u16,
}

impl VirtioHeader {
    /// Reads the header at the start of `bytes`, if they are enough.
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

    /// The header's bytes.
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
