//! The control thread: handshakes and timers, beside the data path.
//!
//! It gives the device handshake messages, reports of the data threads and time, and dispatches the result:
//! commands to the data threads, messages to the sockets, events to Python. Commands reach a data thread in
//! the order in which the device issued them. Between deadlines, which count suspend, it sleeps; while stages
//! are called it also runs the watchdog.

use std::{
    io,
    os::fd::AsFd,
    sync::{Arc, Mutex, MutexGuard, atomic::Ordering::Relaxed},
};

use pyfw_core::{
    sync,
    wireguard::{
        commands::{Command, Report},
        device::{Device, Event, KeyLog, Transmit},
        path::Path,
    },
};

use super::{
    data_plane::DataPlaneHandle,
    events::{EngineEvent, Severity, Value},
    failure_log::FailureLog,
    shared::{ControlMessage, DataCommand, Shared, Sockets},
    stage_watchdog::{StageWatchdog, StartDataThread},
};
use crate::sys::{
    clock,
    deadline::DeadlineTimer,
    epoll::{Epoll, EventFlags},
    udp::{SendFailure, classify_send_failure},
};

const MESSAGES: u64 = 0;
const DEADLINE: u64 = 1;
const STALLED: u64 = 2;

/// Writes the secrets of a handshake.
pub type KeyLogSink = Box<dyn FnMut(&KeyLog) -> io::Result<()> + Send>;

/// The device, and the destinations of its messages, secrets and commands. Data threads never lock any of it.
pub(crate) struct ControlPlane {
    pub(crate) shared: Arc<Shared>,
    device: Mutex<Device>,
    sockets: Mutex<Arc<Sockets>>,
    failure_log: Mutex<FailureLog>,
    key_log: Mutex<Option<KeyLogSink>>,
    /// The data planes: the outbound path is in the first, the inbound path in the last; they may be one.
    pub(crate) handles: Vec<Arc<DataPlaneHandle>>,
}

impl ControlPlane {
    pub(crate) fn new(
        shared: Arc<Shared>,
        device: Device,
        sockets: Arc<Sockets>,
        handles: Vec<Arc<DataPlaneHandle>>,
    ) -> Self {
        Self {
            shared,
            device: Mutex::new(device),
            sockets: Mutex::new(sockets),
            failure_log: Mutex::default(),
            key_log: Mutex::default(),
            handles,
        }
    }

    /// The body of the control thread.
    pub(crate) fn run(&self, start_data_thread: &StartDataThread) -> io::Result<()> {
        let timer = DeadlineTimer::new()?;
        let epoll = Epoll::new()?;
        epoll.add(self.shared.control.as_fd(), MESSAGES, EventFlags::IN)?;
        epoll.add(timer.as_fd(), DEADLINE, EventFlags::IN)?;
        let mut watchdog = StageWatchdog::new()?;
        epoll.add(watchdog.as_fd(), STALLED, EventFlags::IN)?;
        let mut ready = Vec::with_capacity(3);
        let mut messages = Vec::new();
        while !self.shared.stopping.load(Relaxed) {
            let check_ns = watchdog.check(&self.shared, &self.handles, start_data_thread)?;
            let timeout_ns = self.lock().poll_timeout();
            timer.set([check_ns, timeout_ns].into_iter().flatten().min())?;
            ready.clear();
            epoll.wait(None, &mut ready)?;
            timer.clear();
            self.shared.control.take(&mut messages);
            self.change(|device| {
                let now = clock::now();
                let mut queued = messages.len();
                for message in messages.drain(..) {
                    queued -= 1;
                    match message {
                        ControlMessage::Report(report) => device.handle_report(report, now),
                        ControlMessage::Handshake { bytes, from } => {
                            // The device counts a refusal.
                            let _ = device.handle_datagram(&bytes, from, queued, now);
                        }
                        ControlMessage::Wake => {}
                    }
                }
                if device.poll_timeout().is_some_and(|at| at <= now.boot_ns) {
                    device.handle_timeout(now);
                }
            });
        }
        Ok(())
    }

    /// Changes the device, and posts and sends everything that follows from it before the lock is released.
    fn change<T>(&self, body: impl FnOnce(&mut Device) -> T) -> T {
        let mut device = self.lock();
        let result = body(&mut device);
        self.dispatch(&mut device);
        result
    }

    /// Changes the device from another thread, and wakes the control thread for changed deadlines.
    pub(crate) fn configure<T>(&self, body: impl FnOnce(&mut Device) -> T) -> T {
        let result = self.change(body);
        self.shared.control.post([ControlMessage::Wake]);
        result
    }

    /// Locks the device.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Device> {
        sync::lock(&self.device)
    }

    /// Posts the device's commands and events, and sends its messages.
    fn dispatch(&self, device: &mut Device) {
        let mut outbound = Vec::new();
        let mut inbound = Vec::new();
        while let Some(command) = device.poll_command() {
            match command {
                Command::Outbound(command) => outbound.push(DataCommand::Outbound(command)),
                Command::Inbound(command) => inbound.push(DataCommand::Inbound(command)),
            }
        }
        let (first, last) = (&self.handles[0], &self.handles[self.handles.len() - 1]);
        // The inbound path first: a reply may arrive before the other mailbox is read.
        last.commands.post(inbound);
        first.commands.post(outbound);
        // Events before messages: secrets are logged before the message that they belong to is sent.
        while let Some(event) = device.poll_event() {
            if let Event::KeyLog(secrets) = &event {
                self.log_keys(secrets);
            } else if let Some(event) = EngineEvent::from_device(&event) {
                self.shared.events.post(event);
            }
        }
        let mut source_lost = Vec::new();
        while let Some(transmit) = device.poll_transmit() {
            let is_source_lost = self.transmit(&transmit);
            // A cookie reply has no peer.
            source_lost.extend(transmit.peer.filter(|_| is_source_lost));
        }
        if !source_lost.is_empty() {
            for peer in source_lost {
                device.handle_report(Report::SourceLost(peer), clock::now());
            }
            self.dispatch(device);
        }
    }

    /// Sets or removes the sink of handshake secrets.
    pub(crate) fn set_key_log(&self, sink: Option<KeyLogSink>) {
        let has_sink = sink.is_some();
        *sync::lock(&self.key_log) = sink;
        self.configure(|device| device.set_key_log(has_sink));
    }

    fn log_keys(&self, secrets: &KeyLog) {
        let mut sink = sync::lock(&self.key_log);
        let Some(Err(error)) = sink.as_mut().map(|sink| sink(secrets)) else { return };
        // A log with a gap is of little use, and a full disk would fail again for each handshake.
        *sink = None;
        let fields = [("error", Value::Text(error.to_string()))];
        self.shared.emit_event(Severity::Error, "handshake.key_log_ended", fields);
    }

    /// Sends a message; if its source is unusable, from the one that the kernel chooses. Returns whether the
    /// source is unusable.
    fn transmit(&self, transmit: &Transmit) -> bool {
        let sockets = self.sockets();
        let is_ipv4 = transmit.path.destination.is_ipv4();
        let Some(socket) = sockets.of_family(is_ipv4) else { return false };
        let send = |path: &Path| socket.send_one(path, transmit.ds, transmit.bytes());
        let has_source = transmit.path.source.is_some();
        let (result, is_source_lost) = match send(&transmit.path) {
            Err(error)
                if classify_send_failure(&error, false, has_source) == SendFailure::SourceGone =>
            {
                (send(&Path { source: None, ..transmit.path }), true)
            }
            result => (result, false),
        };
        let mut failure_log = sync::lock(&self.failure_log);
        let to = ("endpoint", Value::Text(transmit.path.destination.to_string()));
        match result {
            Err(error) if failure_log.fail(1, clock::boottime_ns()) => {
                let fields = [to, ("error", Value::Text(error.to_string()))];
                self.shared.emit_event(Severity::Warning, "handshake.send_failed", fields);
            }
            Err(_) => {}
            Ok(()) => {
                if let Some(failures) = failure_log.recover() {
                    let fields = [to, ("messages", Value::Number(failures as i64))];
                    self.shared.emit_event(Severity::Info, "handshake.send_recovered", fields);
                }
            }
        }
        is_source_lost
    }

    /// Replaces the sockets, for all threads.
    pub(crate) fn rebind(&self, sockets: Sockets) {
        let sockets = Arc::new(sockets);
        *sync::lock(&self.sockets) = Arc::clone(&sockets);
        self.post_to_data_threads(|| DataCommand::Rebind(Arc::clone(&sockets)));
        self.configure(|device| device.handle_bind_changed(clock::now()));
    }

    /// Posts a command to each data thread.
    pub(crate) fn post_to_data_threads(&self, command: impl Fn() -> DataCommand) {
        for handle in &self.handles {
            handle.commands.post([command()]);
        }
    }

    /// Returns the sockets in use.
    pub(crate) fn sockets(&self) -> Arc<Sockets> {
        Arc::clone(&sync::lock(&self.sockets))
    }
}
