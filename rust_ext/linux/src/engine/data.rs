//! The data thread: wait, drain, process through all stages, flush, repeat.
//!
//! One thread serves both directions, or each has one of its own. In: readiness of the TUN, the
//! sockets and the command mailbox. Out: see the workers. Order: commands run between drains; those
//! posted before a datagram arrived run before it is looked at, as it may need the keys they bring.
//! Time: one clock read a drain. After work it polls a few times before it sleeps: a sleep and a
//! wake-up cost more than the short gaps of a busy flow.

use std::{io, os::fd::AsFd, sync::Arc, sync::atomic::Ordering::Relaxed};

use super::{
    inbound_worker::InboundWorker,
    mailbox::Mailbox,
    outbound_worker::OutboundWorker,
    shared::{ControlMail, DataCommand, Shared, Sockets},
};
use crate::epoll::{self, Epoll, Interest, Ready};

/// Empty polls before the thread sleeps (research: 8 to 30 bring one thread to the speed of two).
const SPINS: u32 = 16;

const COMMANDS: u64 = 0;
const TUN: u64 = 1;
const UDP_V4: u64 = 2;
const UDP_V6: u64 = 3;

/// What one data thread owns.
pub(crate) struct DataThread {
    pub(crate) shared: Arc<Shared>,
    pub(crate) commands: Arc<Mailbox<DataCommand>>,
    pub(crate) sockets: Arc<Sockets>,
    pub(crate) outbound: Option<OutboundWorker>,
    pub(crate) inbound: Option<InboundWorker>,
}

impl DataThread {
    /// Runs until told to stop, or until the TUN is gone.
    pub(crate) fn run(mut self) -> io::Result<()> {
        let epoll = Epoll::new()?;
        epoll.add(self.commands.as_fd(), COMMANDS, Interest::READ)?;
        if self.outbound.is_some() {
            epoll.add(self.shared.tun.as_fd(), TUN, Interest::READ)?;
        }
        self.watch_sockets(&epoll)?;
        let mut ready = Vec::with_capacity(8);
        let mut commands = Vec::new();
        let mut idle_polls = SPINS;
        let mut stop = false;
        loop {
            let timeout_ms = if idle_polls < SPINS { Some(0) } else { None };
            ready.clear();
            epoll.wait(timeout_ms, &mut ready)?;
            if ready.is_empty() {
                idle_polls += 1;
                std::thread::yield_now();
                continue;
            }
            idle_polls = 0;
            let now_ns = epoll::boottime_ns();
            for &Ready { token, .. } in &ready {
                match token {
                    COMMANDS => stop |= self.carry_out(&mut commands, &epoll, now_ns)?,
                    TUN => self.drain_tun(&epoll, now_ns)?,
                    UDP_V4 | UDP_V6 => {
                        stop |= self.serve_socket(token, &mut commands, &epoll, now_ns)?;
                    }
                    _ => {}
                }
            }
            self.report();
            if stop {
                return Ok(());
            }
        }
    }

    fn drain_tun(&mut self, epoll: &Epoll, now_ns: u64) -> io::Result<()> {
        let Some(outbound) = &mut self.outbound else { return Ok(()) };
        if outbound.is_blocked() {
            // A suspended TUN is watched for nothing but its end.
            return self.shared.tun.is_persistent().map(drop);
        }
        outbound.drain(&self.shared, now_ns)?;
        if outbound.is_blocked() {
            self.suspend(epoll)?;
        }
        Ok(())
    }

    /// Receives and writes one drain. Says whether a command came with it to stop.
    fn serve_socket(
        &mut self,
        token: u64,
        commands: &mut Vec<DataCommand>,
        epoll: &Epoll,
        now_ns: u64,
    ) -> io::Result<bool> {
        let socket = match token {
            UDP_V4 => Some(&self.sockets.v4),
            _ => self.sockets.v6.as_ref(),
        };
        let mut stop = false;
        if let (Some(inbound), Some(socket)) = (&mut self.inbound, socket) {
            let received = inbound.receive(socket, &self.shared)?;
            // Control posts a session before it sends the response that the peer answers.
            if received && self.commands.waiting() != 0 {
                stop = self.carry_out(commands, epoll, now_ns)?;
            }
            if let Some(inbound) = self.inbound.as_mut().filter(|_| received) {
                inbound.process(&self.shared, now_ns)?;
            }
        }
        if self.outbound.as_ref().is_some_and(OutboundWorker::is_blocked) {
            self.settle(epoll, now_ns)?;
        }
        Ok(stop)
    }

    /// Stops reading the TUN until the socket that is full is writable.
    fn suspend(&self, epoll: &Epoll) -> io::Result<()> {
        epoll.modify(self.shared.tun.as_fd(), TUN, Interest::NONE)?;
        self.set_socket_interest(epoll)
    }

    /// Sends what can be sent, and takes up reading where that is all.
    fn settle(&mut self, epoll: &Epoll, now_ns: u64) -> io::Result<()> {
        let Some(outbound) = &mut self.outbound else { return Ok(()) };
        let was_blocked = outbound.is_blocked();
        outbound.settle(&self.shared, now_ns);
        match (was_blocked, outbound.is_blocked()) {
            (_, true) => self.suspend(epoll),
            (true, false) => {
                epoll.modify(self.shared.tun.as_fd(), TUN, Interest::READ)?;
                self.set_socket_interest(epoll)
            }
            (false, false) => Ok(()),
        }
    }

    /// Carries out the waiting commands in order. Says whether to stop.
    fn carry_out(
        &mut self,
        commands: &mut Vec<DataCommand>,
        epoll: &Epoll,
        now_ns: u64,
    ) -> io::Result<bool> {
        self.commands.take(commands);
        for command in commands.drain(..) {
            match command {
                DataCommand::Outbound(command) => {
                    if let Some(outbound) = &mut self.outbound {
                        outbound.handle_command(command, now_ns);
                    }
                }
                DataCommand::Inbound(command) => {
                    if let Some(inbound) = &mut self.inbound {
                        inbound.handle_command(command);
                    }
                }
                DataCommand::Rebind(sockets) => self.rebind(sockets, epoll)?,
                DataCommand::Mtu(mtu) => {
                    if let Some(outbound) = &mut self.outbound {
                        outbound.set_mtu(mtu);
                    }
                }
                DataCommand::Stop => {
                    self.settle(epoll, now_ns)?;
                    return Ok(true);
                }
            }
        }
        self.settle(epoll, now_ns)?;
        Ok(false)
    }

    fn rebind(&mut self, sockets: Arc<Sockets>, epoll: &Epoll) -> io::Result<()> {
        for socket in [Some(&self.sockets.v4), self.sockets.v6.as_ref()].into_iter().flatten() {
            epoll.remove(socket.as_fd())?;
        }
        self.sockets = Arc::clone(&sockets);
        if let Some(inbound) = &mut self.inbound {
            inbound.rebind();
        }
        if let Some(outbound) = &mut self.outbound {
            outbound.rebind(sockets);
        }
        self.watch_sockets(epoll)
    }

    fn watch_sockets(&self, epoll: &Epoll) -> io::Result<()> {
        epoll.add(self.sockets.v4.as_fd(), UDP_V4, self.socket_interest(true))?;
        match &self.sockets.v6 {
            Some(v6) => epoll.add(v6.as_fd(), UDP_V6, self.socket_interest(false)),
            None => Ok(()),
        }
    }

    fn set_socket_interest(&self, epoll: &Epoll) -> io::Result<()> {
        epoll.modify(self.sockets.v4.as_fd(), UDP_V4, self.socket_interest(true))?;
        match &self.sockets.v6 {
            Some(v6) => epoll.modify(v6.as_fd(), UDP_V6, self.socket_interest(false)),
            None => Ok(()),
        }
    }

    fn socket_interest(&self, is_ipv4: bool) -> Interest {
        let read = if self.inbound.is_some() { Interest::READ } else { Interest::NONE };
        let blocked_on_ipv4 = self.outbound.as_ref().and_then(OutboundWorker::blocked_on_ipv4);
        let write = if blocked_on_ipv4 == Some(is_ipv4) { Interest::WRITE } else { Interest::NONE };
        read | write
    }

    /// Tells control what the paths noticed.
    fn report(&mut self) {
        let outbound = self.outbound.as_mut().map(OutboundWorker::reports);
        let inbound = self.inbound.as_mut().map(InboundWorker::reports);
        for reports in [outbound, inbound].into_iter().flatten() {
            if !reports.is_empty() {
                self.shared.control.post(reports.drain(..).map(ControlMail::Report));
            }
        }
    }
}

/// Runs a thread's body; an error or a panic in it closes the tunnel with a reason.
pub(crate) fn guarded(shared: &Shared, body: impl FnOnce() -> io::Result<()>) {
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body));
    match outcome {
        Ok(Ok(())) => {}
        Ok(Err(error)) if error.raw_os_error() == Some(libc::EBADFD) => {
            shared.end("the TUN is gone".into());
        }
        Ok(Err(error)) => shared.end(format!("system error: {error}")),
        Err(panic) => {
            let text = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("unknown");
            shared.panicked.store(true, Relaxed);
            shared.end(format!("panic: {text}"));
        }
    }
}

#[cfg(test)]
mod tests;
