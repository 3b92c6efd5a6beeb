//! Capture points: copies of what passes the TUN, what comes out of the stages, what passes the sockets.
//!
//! In: a batch at each point, where somebody listens; off, a point costs one atomic load a batch.
//! Out: records for the listener, in the order in which a data thread saw them. Drops: records that
//! find the ring full, counted; a capture never slows the tunnel down. Memory: the ring, 4 MiB,
//! twice (one is filled while the other is written).

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

/// Bytes that wait for the listener at most.
const RING_BYTES: usize = 4 << 20;

/// Where a record was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Point {
    /// Frames as they cross the TUN.
    Tun = 1,
    /// Frames on their way out that have come through routing and the stages.
    Stages = 2,
    /// Datagrams as they cross the sockets.
    Udp = 4,
}

impl Point {
    /// Every point, in the order in which a packet meets it on its way out.
    pub const ALL: [Self; 3] = [Self::Tun, Self::Stages, Self::Udp];

    /// The name operators use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tun => "tun",
            Self::Stages => "stages",
            Self::Udp => "udp",
        }
    }
}

/// One packet or datagram, or the beginning of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Where it was taken.
    pub point: Point,
    /// Whether it was on its way out.
    pub outbound: bool,
    /// Unix nanoseconds of its batch.
    pub time_ns: u64,
    /// Its own length.
    pub length: u32,
    /// Where the bytes that were kept lie in the ring's.
    pub kept: Slice,
    /// A datagram's source and destination, and its DS byte.
    pub datagram: Option<(SocketAddr, SocketAddr, u8)>,
}

/// What was taken since the last call.
#[derive(Debug, Default)]
pub struct Taken {
    /// The records, oldest first.
    pub records: Vec<Record>,
    /// The bytes they point into.
    pub bytes: Vec<u8>,
    /// Records that found no room.
    pub lost: u64,
}

/// The points of one tunnel, and the ring between them and their listener.
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

    /// Listens at these points from now on, and keeps at most `snap_length` bytes of a packet.
    /// Says whether nobody listened before; one listener at a time.
    pub fn listen(&self, points: &[Point], snap_length: usize) -> bool {
        let mut ring = sync::lock(&self.ring);
        if self.listening.load(Relaxed) != 0 {
            return false;
        }
        *ring = Ring { taken: Taken::default(), snap_length };
        self.listening.store(points.iter().fold(0, |mask, point| mask | *point as u8), Relaxed);
        true
    }

    /// Listens no more; what waits can still be taken.
    pub fn stop(&self) {
        self.listening.store(0, Relaxed);
        self.wake.signal();
    }

    /// Whether anybody listens.
    pub fn is_listening(&self) -> bool {
        self.listening.load(Relaxed) != 0
    }

    /// Takes what waits into `into`, whose room is used again.
    pub fn take(&self, into: &mut Taken) {
        into.records.clear();
        into.bytes.clear();
        into.lost = 0;
        self.wake.clear();
        let mut ring = sync::lock(&self.ring);
        std::mem::swap(&mut ring.taken, into);
    }

    /// Whether a point is listened at: the one load a batch.
    fn is_on(&self, point: Point) -> bool {
        self.listening.load(Relaxed) & point as u8 != 0
    }

    /// Takes copies of a batch's frames.
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
                kept: Slice { offset: 0, length: 0 },
                datagram: None,
            };
            ring.put(record, pieces(frame, batch, buffer));
        }
        self.wake.signal();
    }

    /// Takes copies of the datagrams of one buffer, each `segment_size` long but the last.
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
                    kept: Slice { offset: 0, length: 0 },
                    datagram: Some((source, destination, ds)),
                };
                ring.put(record, std::iter::once(datagram));
            }
        }
        self.wake.signal();
    }
}

impl AsFd for CapturePoints {
    /// Readable while something waits.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}

impl Ring {
    fn put<'p>(&mut self, record: Record, pieces: impl Iterator<Item = &'p [u8]>) {
        let Taken { records, bytes, lost } = &mut self.taken;
        let keeps = (record.length as usize).min(self.snap_length);
        if bytes.len() + keeps > RING_BYTES {
            *lost += 1;
            return;
        }
        let start = bytes.len();
        for piece in pieces {
            let room = keeps - (bytes.len() - start);
            bytes.extend_from_slice(&piece[..piece.len().min(room)]);
        }
        let kept = Slice { offset: start as u32, length: (bytes.len() - start) as u32 };
        records.push(Record { kept, ..record });
    }
}

/// The near end of a datagram's way, as far as its path says.
pub(crate) fn local_address(path: &Path, port: u16) -> SocketAddr {
    let any: IpAddr = match path.destination {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    SocketAddr::new(path.source.map_or(any, |source| source.address), port)
}

/// The pieces of a frame, in order.
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
    fn nobody_listening_nothing_is_kept() {
        let points = CapturePoints::new().unwrap();
        send(&points, &[7; 100], 50);
        assert!(taken(&points).records.is_empty());
    }

    #[test]
    fn each_datagram_of_a_batch_is_a_record_cut_at_the_snap_length() {
        let points = CapturePoints::new().unwrap();
        assert!(points.listen(&[Point::Udp], 40));
        send(&points, &[7; 120], 50);
        let taken = taken(&points);
        let lengths: Vec<_> = taken.records.iter().map(|r| (r.length, r.kept.length)).collect();
        assert_eq!(lengths, [(50, 40), (50, 40), (20, 20)]);
        assert_eq!(taken.bytes, [7; 100]);
    }

    #[test]
    fn a_point_that_nobody_asked_for_stays_silent() {
        let points = CapturePoints::new().unwrap();
        points.listen(&[Point::Tun], 40);
        send(&points, &[7; 120], 50);
        assert!(taken(&points).records.is_empty());
    }

    #[test]
    fn a_full_ring_loses_records_and_counts_them() {
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
    fn a_second_listener_is_refused_until_the_first_has_stopped() {
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
