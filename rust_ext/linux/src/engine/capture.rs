//! Capture points: copies of packets at the TUN, after the stages, and at the sockets.
//!
//! A point that is off costs one atomic load per batch. Data threads copy records into a ring of 4 MiB, in
//! the order in which they see them; records for which it has no room are dropped and counted, so that a
//! capture never slows the tunnel down. A second ring is filled while the listener writes the first.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::{AsFd, BorrowedFd},
    sync::{
        Mutex,
        atomic::{AtomicU8, Ordering::Relaxed},
    },
};

use pyfw_core::{
    frame::{Frame, FrameBatch, Slice},
    sync,
    wireguard::path::Path,
};

use crate::sys::{clock, epoll::EventFd};

/// Bytes queued for the listener at most.
const RING_BYTES: usize = 4 << 20;

/// Where a record was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Point {
    /// Frames as they cross the TUN.
    Tun = 1,
    /// Outbound frames after routing and the stages.
    Stages = 2,
    /// Datagrams as they cross the sockets.
    Udp = 4,
}

impl Point {
    /// All points, in the order in which an outbound packet reaches them.
    pub const ALL: [Self; 3] = [Self::Tun, Self::Stages, Self::Udp];

    /// Returns its name in commands and files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tun => "tun",
            Self::Stages => "stages",
            Self::Udp => "udp",
        }
    }
}

/// One packet or datagram, cut at the snap length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Where it was taken.
    pub point: Point,
    /// Its direction.
    pub outbound: bool,
    /// Unix nanoseconds of its batch.
    pub time_ns: u64,
    /// Its length before the cut.
    pub length: u32,
    /// Its bytes in [`Taken::bytes`].
    pub captured: Slice,
    /// A datagram's source and destination, and its DS byte.
    pub datagram: Option<(SocketAddr, SocketAddr, u8)>,
}

/// The records since the last call.
#[derive(Debug, Default)]
pub struct Taken {
    /// The records, oldest first.
    pub records: Vec<Record>,
    /// The bytes they point into.
    pub bytes: Vec<u8>,
    /// Records for which there was no room.
    pub lost: u64,
}

/// The capture points of one tunnel, and the ring between them and the listener.
pub struct CapturePoints {
    listening: AtomicU8,
    ring: Mutex<Ring>,
    wake: EventFd,
}

#[derive(Default)]
struct Ring {
    taken: Taken,
    snap_length: usize,
}

impl CapturePoints {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { listening: AtomicU8::new(0), ring: Mutex::default(), wake: EventFd::new()? })
    }

    /// Starts capturing at these points, up to `snap_length` bytes of a packet. Returns false if there is a
    /// listener already.
    pub fn listen(&self, points: &[Point], snap_length: usize) -> bool {
        let mut ring = sync::lock(&self.ring);
        if self.listening.load(Relaxed) != 0 {
            return false;
        }
        *ring = Ring { taken: Taken::default(), snap_length };
        self.listening.store(points.iter().fold(0, |mask, point| mask | *point as u8), Relaxed);
        true
    }

    /// Stops capturing. Queued records can still be taken.
    pub fn stop(&self) {
        self.listening.store(0, Relaxed);
        self.wake.signal();
    }

    /// Whether there is a listener.
    pub fn is_listening(&self) -> bool {
        self.listening.load(Relaxed) != 0
    }

    /// Swaps the queued records into `into`, whose capacity is reused.
    pub fn take(&self, into: &mut Taken) {
        into.records.clear();
        into.bytes.clear();
        into.lost = 0;
        self.wake.clear();
        let mut ring = sync::lock(&self.ring);
        std::mem::swap(&mut ring.taken, into);
    }

    /// Whether a point is on: the one load per batch.
    fn is_on(&self, point: Point) -> bool {
        self.listening.load(Relaxed) & point as u8 != 0
    }

    /// Copies the frames of a batch.
    pub(crate) fn frames(&self, point: Point, outbound: bool, batch: &FrameBatch, buffer: &[u8]) {
        if !self.is_on(point) || batch.frames.is_empty() {
            return;
        }
        let time_ns = clock::unix_ns();
        let mut ring = sync::lock(&self.ring);
        for frame in &batch.frames {
            let record = Record {
                point,
                outbound,
                time_ns,
                length: frame.length,
                captured: Slice { offset: 0, length: 0 },
                datagram: None,
            };
            ring.put(record, pieces(frame, batch, buffer));
        }
        self.wake.signal();
    }

    /// Copies the datagrams of buffers: (source, destination, DS byte, segment size, bytes).
    pub(crate) fn datagrams<'d>(
        &self,
        outbound: bool,
        buffers: impl Iterator<Item = (SocketAddr, SocketAddr, u8, usize, &'d [u8])>,
    ) {
        if !self.is_on(Point::Udp) {
            return;
        }
        let time_ns = clock::unix_ns();
        let mut ring = sync::lock(&self.ring);
        for (source, destination, ds, segment_size, bytes) in buffers {
            for datagram in bytes.chunks(segment_size.max(1)) {
                let record = Record {
                    point: Point::Udp,
                    outbound,
                    time_ns,
                    length: datagram.len() as u32,
                    captured: Slice { offset: 0, length: 0 },
                    datagram: Some((source, destination, ds)),
                };
                ring.put(record, std::iter::once(datagram));
            }
        }
        self.wake.signal();
    }
}

impl AsFd for CapturePoints {
    /// Readable while records are queued.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}

impl Ring {
    fn put<'p>(&mut self, record: Record, pieces: impl Iterator<Item = &'p [u8]>) {
        let Taken { records, bytes, lost } = &mut self.taken;
        let length = (record.length as usize).min(self.snap_length);
        if bytes.len() + length > RING_BYTES {
            *lost += 1;
            return;
        }
        let start = bytes.len();
        for piece in pieces {
            let room = length - (bytes.len() - start);
            bytes.extend_from_slice(&piece[..piece.len().min(room)]);
        }
        let captured = Slice { offset: start as u32, length: (bytes.len() - start) as u32 };
        records.push(Record { captured, ..record });
    }
}

/// Returns the local address of a datagram; unspecified if its path has no source.
pub(crate) fn local_address(path: &Path, port: u16) -> SocketAddr {
    let any: IpAddr = match path.destination {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    SocketAddr::new(path.source.map_or(any, |source| source.address), port)
}

/// Returns the pieces of a frame, in order.
fn pieces<'b>(
    frame: &Frame,
    batch: &'b FrameBatch,
    buffer: &'b [u8],
) -> impl Iterator<Item = &'b [u8]> {
    let whole = (frame.slices == 0).then_some(frame.bytes(buffer));
    let slices = &batch.slices[frame.first_slice as usize..][..frame.slices as usize];
    let slices = slices.iter().map(|s| &buffer[s.offset as usize..(s.offset + s.length) as usize]);
    whole.into_iter().chain(slices)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: &str = "192.0.2.1:1";
    const THERE: &str = "192.0.2.2:2";

    #[test]
    fn nothing_is_captured_without_a_listener() {
        let points = CapturePoints::new().unwrap();
        send(&points, &[7; 100], 50);
        assert!(taken(&points).records.is_empty());
    }

    #[test]
    fn each_datagram_is_a_record_cut_at_the_snap_length() {
        let points = CapturePoints::new().unwrap();
        assert!(points.listen(&[Point::Udp], 40));
        send(&points, &[7; 120], 50);
        let taken = taken(&points);
        let lengths: Vec<_> = taken.records.iter().map(|r| (r.length, r.captured.length)).collect();
        assert_eq!(lengths, [(50, 40), (50, 40), (20, 20)]);
        assert_eq!(taken.bytes, [7; 100]);
    }

    #[test]
    fn other_points_capture_nothing() {
        let points = CapturePoints::new().unwrap();
        points.listen(&[Point::Tun], 40);
        send(&points, &[7; 120], 50);
        assert!(taken(&points).records.is_empty());
    }

    #[test]
    fn a_full_ring_drops_records_and_counts_them() {
        let points = CapturePoints::new().unwrap();
        points.listen(&[Point::Udp], usize::MAX);
        for _ in 0..70 {
            send(&points, &vec![7; 65_000], 65_000);
        }
        let first = taken(&points);
        assert_eq!((first.records.len(), first.lost), (RING_BYTES / 65_000, 70 - 64));
        send(&points, &[1], 1);
        assert_eq!(taken(&points).records.len(), 1);
    }

    #[test]
    fn a_second_listener_is_refused_until_the_first_stops() {
        let points = CapturePoints::new().unwrap();
        assert!(points.listen(&[Point::Udp], 40));
        assert!(!points.listen(&[Point::Tun], 40));
        points.stop();
        assert!(points.listen(&[Point::Tun], 40));
    }

    fn send(points: &CapturePoints, bytes: &[u8], segment_size: usize) {
        let (here, there) = (HERE.parse().unwrap(), THERE.parse().unwrap());
        points.datagrams(true, std::iter::once((here, there, 0, segment_size, bytes)));
    }

    fn taken(points: &CapturePoints) -> Taken {
        let mut taken = Taken::default();
        points.take(&mut taken);
        taken
    }
}
