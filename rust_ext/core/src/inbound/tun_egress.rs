//! tun_egress: the virtio-net header of a frame that is written to the TUN.

use crate::{
    frame::{Frame, flags},
    packet::{
        tcp,
        virtio::{self, VirtioHeader},
    },
};

/// Returns the virtio-net header of a frame. A complete packet gets zeros: the kernel then verifies its checksum
/// itself.
pub fn virtio_header(frame: &Frame) -> [u8; virtio::VIRTIO_HEADER_LENGTH] {
    let mut header = VirtioHeader::default();
    if frame.flags & flags::PARTIAL_CHECKSUM != 0 {
        header.flags = virtio::NEEDS_CSUM;
        header.checksum_start = frame.checksum_start;
        header.checksum_offset = frame.checksum_offset;
    }
    if frame.segments > 1 {
        header.gso_type = match (frame.protocol, frame.version) {
            (tcp::PROTOCOL, 4) => virtio::GSO_TCPV4,
            (tcp::PROTOCOL, _) => virtio::GSO_TCPV6,
            _ => virtio::GSO_UDP_L4,
        };
        if frame.protocol == tcp::PROTOCOL && frame.tcp_flags & tcp::CWR != 0 {
            header.gso_type |= virtio::GSO_ECN;
        }
        header.header_length = frame.header_length;
        header.gso_size = frame.segment_size;
    }
    header.write()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::{build::Build, parse, virtio::VIRTIO_HEADER_LENGTH};

    #[test]
    fn a_complete_packet_has_an_empty_header() {
        let bytes = Build::tcp4().payload(100).bytes();
        let frame = parse(&bytes, 7).unwrap();
        assert_eq!(virtio_header(&frame), [0; VIRTIO_HEADER_LENGTH]);
    }

    #[test]
    fn a_super_packet_has_its_type_and_size() {
        for (build, gso_type, start, offset, header_length) in [
            (Build::tcp4(), virtio::GSO_TCPV4, 20, 16, 40),
            (Build::tcp6(), virtio::GSO_TCPV6, 40, 16, 60),
            (Build::udp4(), virtio::GSO_UDP_L4, 20, 6, 28),
            (Build::udp6(), virtio::GSO_UDP_L4, 40, 6, 48),
        ] {
            let mut frame = parse(&build.payload(300).bytes(), 0).unwrap();
            frame.segments = 3;
            frame.segment_size = 100;
            frame.flags |= flags::PARTIAL_CHECKSUM;
            let expected = VirtioHeader {
                flags: virtio::NEEDS_CSUM,
                gso_type,
                header_length,
                gso_size: 100,
                checksum_start: start,
                checksum_offset: offset,
            };
            assert_eq!(VirtioHeader::read(&virtio_header(&frame)), Some(expected));
        }
    }

    #[test]
    fn a_super_packet_with_cwr_has_the_ecn_bit() {
        let mut frame = parse(&Build::tcp4().flags(tcp::ACK | tcp::CWR).bytes(), 0).unwrap();
        frame.segments = 2;
        assert_eq!(virtio_header(&frame)[1], virtio::GSO_TCPV4 | virtio::GSO_ECN);
    }
}
