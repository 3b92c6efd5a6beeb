//! The control thread: handshakes and timers, beside the data path.
//!
//! In: handshake messages and reports from the data threads, the device's deadlines. Out: commands
//! to the data threads, handshake and cookie messages to the sockets, events. Drops: messages that
//! the device refuses (counted there), sends that the kernel refuses (the handshake is retried).
//! Order: commands reach a data thread in the order in which the device gave them.
//! Time: sleeps until the next deadline, suspend included; it ticks only while stages are called, to
//! take the place of a data thread that does not come back from one.

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
    events::{Severity, Value},
    failure_log::FailureLog,
    shared::{ControlMail, DataCommand, Shared, Sockets},
    stage_watchdog::StageWatchdog,
    translate::engine_event,
};
use crate::sys::{
    clock,
    deadline::DeadlineTimer,
    epoll::{Epoll, EventFlags},
    udp::{SendFailure, classify_send_failure},
};

const MAIL: u64 = 0;
const DEADLINE: u64 = 1;
const STANDBY: u64 = 2;

/// Where the secrets of handshakes are written to.
pub type KeyLogSink = Box<dyn FnMut(&KeyLog) -> io::Result<()> + Send>;

/// How a message left, or did not.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sent {
    AsGiven,
    WithoutSource,
}

/// The device, and the destinations out of it. The data threads never lock any of this.
pub(crate) struct ControlPlane {
    pub(crate) shared: Arc<Shared>,
    device: Mutex<Device>,
    sockets: Mutex<Arc<Sockets>>,
    failure_log: Mutex<FailureLog>,
    key_log: Mutex<Option<KeyLogSink>>,
    /// The handles of the data threads: outbound's first, inbound's last; one may carry both.
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

    /// The body of the control thread; `sit` puts a new data thread into a handle.
    pub(crate) fn run(
        &self,
        sit: &dyn Fn(&Arc<DataPlaneHandle>, u64) -> io::Result<()>,
    ) -> io::Result<()> {
        let timer = DeadlineTimer::new()?;
        let epoll = Epoll::new()?;
        epoll.add(self.shared.control.as_fd(), MAIL, EventFlags::IN)?;
        epoll.add(timer.as_fd(), DEADLINE, EventFlags::IN)?;
        let mut stage_watchdog = StageWatchdog::new()?;
        epoll.add(stage_watchdog.as_fd(), STANDBY, EventFlags::IN)?;
        let mut ready = Vec::with_capacity(3);
        let mut mail = Vec::new();
        while !self.shared.stopping.load(Relaxed) {
            let look_ns = stage_watchdog.look(&self.shared, &self.handles, sit)?;
            let timeout_ns = self.lock().poll_timeout();
            timer.set([look_ns, timeout_ns].into_iter().flatten().min())?;
            ready.clear();
            epoll.wait(None, &mut ready)?;
            timer.clear();
            self.shared.control.take(&mut mail);
            self.change(|device| {
                let now = clock::now();
                let mut queued = mail.len();
                for item in mail.drain(..) {
                    queued -= 1;
                    match item {
                        ControlMail::Report(report) => device.handle_report(report, now),
                        ControlMail::Handshake { bytes, from } => {
                            // A refusal is counted by the device, which says so in an event.
                            let _ = device.handle_datagram(&bytes, from, queued, now);
                        }
                        ControlMail::Look => {}
                    }
                }
                if device.poll_timeout().is_some_and(|at| at <= now.boot_ns) {
                    device.handle_timeout(now);
                }
            });
        }
        Ok(())
    }

    /// Changes the device and carries out all that follows from it, before anyone else may.
    pub(crate) fn change<T>(&self, body: impl FnOnce(&mut Device) -> T) -> T {
        let mut device = self.lock();
        let result = body(&mut device);
        self.run_commands(&mut device);
        result
    }

    /// The same from another thread: the control thread then looks at its deadlines again.
    pub(crate) fn change_from_outside<T>(&self, body: impl FnOnce(&mut Device) -> T) -> T {
        let result = self.change(body);
        self.shared.control.post([ControlMail::Look]);
        result
    }

    /// Looks at the device.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Device> {
        sync::lock(&self.device)
    }

    fn run_commands(&self, device: &mut Device) {
        let mut outbound = Vec::new();
        let mut inbound = Vec::new();
        while let Some(command) = device.poll_command() {
            match command {
                Command::Outbound(command) => outbound.push(DataCommand::Outbound(command)),
                Command::Inbound(command) => inbound.push(DataCommand::Inbound(command)),
            }
        }
        // First who receives: an answer may come before the other mailbox is read.
        let (first, last) = (&self.handles[0], &self.handles[self.handles.len() - 1]);
        last.commands.post(inbound);
        first.commands.post(outbound);
        // Secrets are written down before the message that they belong to is on the wire.
        while let Some(event) = device.poll_event() {
            if let Event::KeyLog(secrets) = &event {
                self.log_keys(secrets);
            } else if let Some(event) = engine_event(&event) {
                self.shared.events.post(event);
            }
        }
        let mut lost = Vec::new();
        while let Some(transmit) = device.poll_transmit() {
            // A cookie reply is for nobody that is known.
            let sent = self.transmit(&transmit);
            lost.extend(transmit.peer.filter(|_| sent == Sent::WithoutSource));
        }
        if !lost.is_empty() {
            for peer in lost {
                device.handle_report(Report::SourceLost(peer), clock::now());
            }
            self.run_commands(device);
        }
    }

    /// Gives the secrets of handshakes to `sink` from now on, or to nobody.
    pub(crate) fn set_key_log(&self, sink: Option<KeyLogSink>) {
        let is_on = sink.is_some();
        *sync::lock(&self.key_log) = sink;
        self.change_from_outside(|device| device.set_key_log(is_on));
    }

    fn log_keys(&self, secrets: &KeyLog) {
        let mut sink = sync::lock(&self.key_log);
        let Some(Err(error)) = sink.as_mut().map(|sink| sink(secrets)) else { return };
        // A log with a gap is worth little, and a full disk says the same each time.
        *sink = None;
        let fields = [("error", Value::Text(error.to_string()))];
        self.shared.emit_event(Severity::Error, "handshake.key_log_ended", fields);
    }

    /// Sends a message; where its source leads nowhere, from the one that the kernel chooses.
    fn transmit(&self, transmit: &Transmit) -> Sent {
        let sockets = self.sockets();
        let Some(socket) = sockets.towards(&transmit.path) else { return Sent::AsGiven };
        let send = |path: &Path| socket.send_one(path, transmit.ds, transmit.bytes());
        let has_source = transmit.path.source.is_some();
        let (result, sent) = match send(&transmit.path) {
            Err(error)
                if classify_send_failure(&error, false, has_source) == SendFailure::SourceGone =>
            {
                (send(&Path { source: None, ..transmit.path }), Sent::WithoutSource)
            }
            result => (result, Sent::AsGiven),
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
                if let Some(failed) = failure_log.end() {
                    let fields = [to, ("messages", Value::Number(failed as i64))];
                    self.shared.emit_event(Severity::Info, "handshake.send_recovered", fields);
                }
            }
        }
        sent
    }

    /// Goes over to other sockets, for all threads.
    pub(crate) fn rebind(&self, sockets: Sockets) {
        let sockets = Arc::new(sockets);
        *sync::lock(&self.sockets) = Arc::clone(&sockets);
        self.tell_data(|| DataCommand::Rebind(Arc::clone(&sockets)));
        self.change_from_outside(|device| device.handle_bind_changed(clock::now()));
    }

    /// Tells every data thread.
    pub(crate) fn tell_data(&self, command: impl Fn() -> DataCommand) {
        for handle in &self.handles {
            handle.commands.post([command()]);
        }
    }

    /// The sockets in use.
    pub(crate) fn sockets(&self) -> Arc<Sockets> {
        Arc::clone(&sync::lock(&self.sockets))
    }
}
