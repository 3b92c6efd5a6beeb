//! A capture of a running tunnel: records of the engine's capture points, as pcapng, to a descriptor.
//!
//! A thread of its own waits for records and writes them; the data threads only leave copies. A
//! full disk or a reader that is gone ends the capture, not the tunnel; what was written before is
//! whole.

use std::{
    fs::File,
    io::{self, BufWriter},
    os::fd::OwnedFd,
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

/// A capture in progress.
pub(crate) struct Capture {
    points: Arc<CapturePoints>,
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

/// What it has done so far.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) written: AtomicU64,
    pub(crate) lost: AtomicU64,
    failed: Mutex<Option<String>>,
}

impl State {
    /// Why it ended by itself.
    pub(crate) fn failed(&self) -> Option<String> {
        sync::lock(&self.failed).clone()
    }
}

impl Capture {
    /// Captures at `points` into `output`; an error where somebody captures already.
    pub(crate) fn start(
        points: Arc<CapturePoints>,
        at: &[Point],
        snap_length: usize,
        output: OwnedFd,
    ) -> io::Result<Self> {
        let interfaces: Vec<_> = at.iter().map(|point| (point.name(), LinkType::Raw)).collect();
        let output = BufWriter::with_capacity(1 << 18, File::from(output));
        let writer = PcapngWriter::new(output, &interfaces, None)?;
        if !points.listen(at, snap_length) {
            let text = "the tunnel is being captured already";
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
        }
        let state = Arc::new(State::default());
        let task = Task { points: Arc::clone(&points), at: at.to_vec(), state: Arc::clone(&state) };
        let thread = std::thread::Builder::new().name("pyfw-capture".into()).spawn(move || {
            signals::block_in_this_thread();
            task.run(writer);
        })?;
        Ok(Self { points, state, thread: Some(thread) })
    }

    /// What it has done so far.
    pub(crate) fn state(&self) -> Arc<State> {
        Arc::clone(&self.state)
    }

    /// Writes what waits, and ends.
    pub(crate) fn stop(&mut self) {
        self.points.stop();
        if let Some(thread) = self.thread.take() {
            // What went wrong in it is in the state.
            let _ = thread.join();
        }
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.stop();
    }
}

struct Task {
    points: Arc<CapturePoints>,
    at: Vec<Point>,
    state: Arc<State>,
}

impl Task {
    fn run(&self, mut writer: PcapngWriter<BufWriter<File>>) {
        let written = self.write_all(&mut writer).and_then(|()| writer.finish().map(drop));
        if let Err(error) = written {
            self.points.stop();
            let mut failed = sync::lock(&self.state.failed);
            *failed = Some(error.to_string());
        }
    }

    fn write_all(&self, writer: &mut PcapngWriter<BufWriter<File>>) -> io::Result<()> {
        let epoll = Epoll::new()?;
        epoll.add(std::os::fd::AsFd::as_fd(&*self.points), 0, EventFlags::IN)?;
        let (mut ready, mut taken) = (Vec::new(), Taken::default());
        loop {
            ready.clear();
            epoll.wait(None, &mut ready)?;
            let is_last = !self.points.is_listening();
            self.points.take(&mut taken);
            self.write(writer, &taken)?;
            if is_last {
                return Ok(());
            }
        }
    }

    fn write(&self, writer: &mut PcapngWriter<BufWriter<File>>, taken: &Taken) -> io::Result<()> {
        for record in &taken.records {
            let interface = self.at.iter().position(|point| *point == record.point).unwrap_or(0);
            let start = record.captured.offset as usize;
            let kept = &taken.bytes[start..start + record.captured.length as usize];
            let number = self.state.written.fetch_add(1, Relaxed) + 1;
            let (time_ns, inbound) = (record.time_ns, !record.outbound);
            let (packet, whole);
            (packet, whole) = match record.datagram {
                Some((source, destination, ds)) => {
                    let length = record.length as usize;
                    let packet = outer_packet(source, destination, ds, kept, length);
                    let whole = packet.len() - kept.len() + length;
                    (packet, whole)
                }
                None => (kept.to_vec(), record.length as usize),
            };
            writer.cut_packet(interface as u32, time_ns, &packet, whole, number, inbound, None)?;
        }
        self.state.lost.fetch_add(taken.lost, Relaxed);
        writer.flush()
    }
}
