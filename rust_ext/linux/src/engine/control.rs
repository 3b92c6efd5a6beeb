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
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering::Relaxed},
};

use pyfw_core::{
    device::{Device, Transmit},
    exchange::Command,
};

use super::{
    events::{Severity, Value},
    paths::Seat,
    shared::{ControlMail, DataCommand, Shared, Sockets},
    standby::Standby,
    translate::engine_event,
};
use crate::{
    deadline::DeadlineTimer,
    epoll::{self, Epoll, Interest},
};

const MAIL: u64 = 0;
const DEADLINE: u64 = 1;
const STANDBY: u64 = 2;

/// The device, and the ways out of it. The data threads never lock any of this.
pub(crate) struct ControlPlane {
    pub(crate) shared: Arc<Shared>,
    device: Mutex<Device>,
    sockets: Mutex<Arc<Sockets>>,
    /// The seats of the data threads: outbound's first, inbound's last; one may carry both.
    pub(crate) seats: Vec<Arc<Seat>>,
}

impl ControlPlane {
    pub(crate) fn new(
        shared: Arc<Shared>,
        device: Device,
        sockets: Arc<Sockets>,
        seats: Vec<Arc<Seat>>,
    ) -> Self {
        Self { shared, device: Mutex::new(device), sockets: Mutex::new(sockets), seats }
    }

    /// The body of the control thread; `sit` puts a new data thread into a seat.
    pub(crate) fn run(&self, sit: &dyn Fn(&Arc<Seat>, u64) -> io::Result<()>) -> io::Result<()> {
        let timer = DeadlineTimer::new()?;
        let epoll = Epoll::new()?;
        epoll.add(self.shared.control.as_fd(), MAIL, Interest::READ)?;
        epoll.add(timer.as_fd(), DEADLINE, Interest::READ)?;
        let mut standby = Standby::new()?;
        epoll.add(standby.as_fd(), STANDBY, Interest::READ)?;
        let mut ready = Vec::with_capacity(3);
        let mut mail = Vec::new();
        while !self.shared.stopping.load(Relaxed) {
            let look_ns = standby.look(&self.shared, &self.seats, sit)?;
            let timeout_ns = self.lock().poll_timeout();
            timer.set([look_ns, timeout_ns].into_iter().flatten().min())?;
            ready.clear();
            epoll.wait(None, &mut ready)?;
            timer.clear();
            self.shared.control.take(&mut mail);
            self.change(|device| {
                let now = epoll::now();
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
        self.carry_out(&mut device);
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
        self.device.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn carry_out(&self, device: &mut Device) {
        let mut outbound = Vec::new();
        let mut inbound = Vec::new();
        while let Some(command) = device.poll_command() {
            match command {
                Command::Outbound(command) => outbound.push(DataCommand::Outbound(command)),
                Command::Inbound(command) => inbound.push(DataCommand::Inbound(command)),
            }
        }
        // First who receives: an answer may come before the other mailbox is read.
        let (first, last) = (&self.seats[0], &self.seats[self.seats.len() - 1]);
        last.commands.post(inbound);
        first.commands.post(outbound);
        while let Some(transmit) = device.poll_transmit() {
            self.transmit(&transmit);
        }
        while let Some(event) = device.poll_event() {
            if let Some(event) = engine_event(&event) {
                self.shared.events.post(event);
            }
        }
    }

    fn transmit(&self, transmit: &Transmit) {
        let sockets = Arc::clone(&self.sockets.lock().unwrap_or_else(PoisonError::into_inner));
        let Some(socket) = sockets.towards(&transmit.path) else { return };
        if let Err(error) = socket.send_one(&transmit.path, transmit.ds, transmit.bytes()) {
            let fields = [
                ("endpoint", Value::Text(transmit.path.destination.to_string())),
                ("error", Value::Text(error.to_string())),
            ];
            self.shared.say(Severity::Warning, "handshake.send_failed", fields);
        }
    }

    /// Goes over to other sockets, for all threads.
    pub(crate) fn rebind(&self, sockets: Sockets) {
        let sockets = Arc::new(sockets);
        *self.sockets.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&sockets);
        self.tell_data(|| DataCommand::Rebind(Arc::clone(&sockets)));
        self.change_from_outside(|device| device.handle_bind_changed(epoll::now()));
    }

    /// Tells every data thread.
    pub(crate) fn tell_data(&self, command: impl Fn() -> DataCommand) {
        for seat in &self.seats {
            seat.commands.post([command()]);
        }
    }

    /// The sockets in use.
    pub(crate) fn sockets(&self) -> Arc<Sockets> {
        Arc::clone(&self.sockets.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
