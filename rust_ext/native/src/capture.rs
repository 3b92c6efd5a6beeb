//! A capture of a running tunnel: pcapng records of the engine's capture points, to a descriptor.
//!
//! The data threads only leave copies; a thread of its own writes them. A full disk or a closed pipe ends the
//! capture, not the tunnel, and the records written before are whole.

use std::{
    fs::File,
    io::{self, BufWriter},
    os::fd::{AsFd, OwnedFd},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread::JoinHandle,
};

use pyfw_core::sync;
use pyfw_linux::{
    engine::capture::{CapturePoints, Point, Taken},
    sys::{
        epoll::{Epoll, EventFlags},
        signals,
    },
};
use pyfw_replay::{capture::LinkType, outer_packet, pcapng::PcapngWriter};
use pyo3::PyResult;

use crate::convert::value_error;

/// A capture in progress.
pub(crate) struct Capture {
    capture_points: Arc<CapturePoints>,
    progress: Arc<Progress>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
pub(crate) struct Progress {
    /// Records written.
    pub(crate) written: AtomicU64,
    /// Records lost, because too many were waiting.
    pub(crate) lost: AtomicU64,
    error: Mutex<Option<String>>,
}

impl Progress {
    /// Why the capture ended by itself.
    pub(crate) fn error(&self) -> Option<String> {
        sync::lock(&self.error).clone()
    }
}

impl Capture {
    /// Starts a capture; `AlreadyExists` if there is one.
    pub(crate) fn start(
        capture_points: Arc<CapturePoints>,
        points: &[Point],
        snap_length: usize,
        output: OwnedFd,
    ) -> io::Result<Self> {
        let interfaces: Vec<_> = points.iter().map(|point| (point.name(), LinkType::Raw)).collect();
        let output = BufWriter::with_capacity(1 << 18, File::from(output));
        let writer = PcapngWriter::new(output, &interfaces, None)?;
        if !capture_points.listen(points, snap_length) {
            let text = "the tunnel is being captured already";
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
        }
        let progress = Arc::new(Progress::default());
        let task = WriterTask {
            capture_points: Arc::clone(&capture_points),
            points: points.to_vec(),
            progress: Arc::clone(&progress),
        };
        let thread = std::thread::Builder::new().name("pyfw-capture".into()).spawn(move || {
            signals::block_in_this_thread();
            task.run(writer);
        })?;
        Ok(Self { capture_points, progress, thread: Some(thread) })
    }

    pub(crate) fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    /// Writes the records that wait, and ends.
    pub(crate) fn stop(&mut self) {
        self.capture_points.stop();
        if let Some(thread) = self.thread.take() {
            // Its errors are in `progress`.
            let _ = thread.join();
        }
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Parses the name of a capture point.
pub(crate) fn point(name: &str) -> PyResult<Point> {
    Point::ALL.into_iter().find(|point| point.name() == name).ok_or_else(|| {
        value_error(format!("unknown capture point {name:?}; known: tun, stages, udp"))
    })
}

/// Writes records until the capture is stopped.
struct WriterTask {
    capture_points: Arc<CapturePoints>,
    /// The interfaces of the file.
    points: Vec<Point>,
    progress: Arc<Progress>,
}

impl WriterTask {
    fn run(&self, mut writer: PcapngWriter<BufWriter<File>>) {
        let result = self.write_all(&mut writer).and_then(|()| writer.finish().map(drop));
        if let Err(error) = result {
            self.capture_points.stop();
            *sync::lock(&self.progress.error) = Some(error.to_string());
        }
    }

    fn write_all(&self, writer: &mut PcapngWriter<BufWriter<File>>) -> io::Result<()> {
        let epoll = Epoll::new()?;
        epoll.add(self.capture_points.as_fd(), 0, EventFlags::IN)?;
        let (mut ready, mut taken) = (Vec::new(), Taken::default());
        loop {
            ready.clear();
            epoll.wait(None, &mut ready)?;
            let is_last = !self.capture_points.is_listening();
            self.capture_points.take(&mut taken);
            self.write(writer, &taken)?;
            if is_last {
                return Ok(());
            }
        }
    }

    fn write(&self, writer: &mut PcapngWriter<BufWriter<File>>, taken: &Taken) -> io::Result<()> {
        for record in &taken.records {
            let interface = self.points.iter().position(|p| *p == record.point).unwrap_or(0);
            let start = record.captured.offset as usize;
            let captured = &taken.bytes[start..start + record.captured.length as usize];
            let length = record.length as usize;
            let number = self.progress.written.fetch_add(1, Relaxed) + 1;
            let (packet, whole) = match record.datagram {
                Some((source, destination, ds)) => {
                    let packet = outer_packet(source, destination, ds, captured, length);
                    let headers = packet.len() - captured.len();
                    (packet, headers + length)
                }
                None => (captured.to_vec(), length),
            };
            let (time_ns, inbound) = (record.time_ns, !record.outbound);
            let interface = interface as u32;
            writer.truncated_packet(interface, time_ns, &packet, whole, number, inbound, None)?;
        }
        self.progress.lost.fetch_add(taken.lost, Relaxed);
        writer.flush()
    }
}
