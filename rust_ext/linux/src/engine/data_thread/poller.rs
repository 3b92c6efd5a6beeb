//! The epoll of a data thread, whose flags follow the state of the data plane.
//!
//! While a full socket blocks the outbound path, the TUN is polled only for its end, and that socket for
//! room.

use std::{io, os::fd::AsFd, sync::Arc, time::Duration};

use crate::{
    engine::{
        data_plane::{DataPlane, DataPlaneHandle},
        outbound_worker::OutboundWorker,
        shared::{Shared, Sockets},
    },
    sys::{
        deadline::DeadlineTimer,
        epoll::{Epoll, EventFlags},
    },
};

pub(super) const COMMANDS: u64 = 0;
pub(super) const TUN: u64 = 1;
pub(super) const UDP_V4: u64 = 2;
pub(super) const UDP_V6: u64 = 3;
pub(super) const TIMER: u64 = 4;
pub(super) const RETIRED_V4: u64 = 5;
pub(super) const RETIRED_V6: u64 = 6;

/// The epoll, and what was set last: a system call is made only for a change.
pub(super) struct Poller {
    epoll: Epoll,
    timer: DeadlineTimer,
    deadline_ns: Option<u64>,
    sockets: Option<Arc<Sockets>>,
    retired: Option<Arc<Sockets>>,
    flags: Option<Flags>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Flags {
    tun: EventFlags,
    v4: EventFlags,
    v6: EventFlags,
}

impl Poller {
    pub(super) fn new(
        handle: &DataPlaneHandle,
        shared: &Shared,
        plane: &DataPlane,
    ) -> io::Result<Self> {
        let (epoll, timer) = (Epoll::new()?, DeadlineTimer::new()?);
        epoll.add(handle.commands.as_fd(), COMMANDS, EventFlags::IN)?;
        epoll.add(timer.as_fd(), TIMER, EventFlags::IN)?;
        if plane.outbound.is_some() {
            epoll.add(shared.tun.as_fd(), TUN, EventFlags::IN)?;
        }
        Ok(Self { epoll, timer, deadline_ns: None, sockets: None, retired: None, flags: None })
    }

    /// Applies the plane's state and the next deadline.
    pub(super) fn update(
        &mut self,
        plane: &DataPlane,
        shared: &Shared,
        deadline_ns: Option<u64>,
    ) -> io::Result<()> {
        if self.deadline_ns != deadline_ns {
            self.deadline_ns = deadline_ns;
            self.timer.set(deadline_ns)?;
        }
        self.update_retired(plane)?;
        let flags = Flags::of(plane);
        if is_same(self.sockets.as_ref(), &plane.sockets) && self.flags == Some(flags) {
            return Ok(());
        }
        if self.flags.map(|current| current.tun) != Some(flags.tun) && plane.outbound.is_some() {
            self.epoll.modify(shared.tun.as_fd(), TUN, flags.tun)?;
        }
        self.update_sockets(plane, flags)?;
        self.flags = Some(flags);
        Ok(())
    }

    fn update_retired(&mut self, plane: &DataPlane) -> io::Result<()> {
        let retired = plane.retired.as_ref().map(|retired| &retired.sockets);
        match (&self.retired, retired) {
            (None, None) => return Ok(()),
            (current, Some(retired)) if is_same(current.as_ref(), retired) => return Ok(()),
            _ => {}
        }
        if let Some(current) = self.retired.take() {
            self.remove(&current)?;
        }
        let Some(retired) = retired else { return Ok(()) };
        // They may still be added as the sockets in use.
        if is_same(self.sockets.as_ref(), retired) {
            self.sockets = None;
            self.remove(retired)?;
        }
        self.epoll.add(retired.v4.as_fd(), RETIRED_V4, EventFlags::IN)?;
        if let Some(v6) = &retired.v6 {
            self.epoll.add(v6.as_fd(), RETIRED_V6, EventFlags::IN)?;
        }
        self.retired = Some(Arc::clone(retired));
        Ok(())
    }

    fn update_sockets(&mut self, plane: &DataPlane, flags: Flags) -> io::Result<()> {
        let is_added = is_same(self.sockets.as_ref(), &plane.sockets);
        if !is_added {
            if let Some(current) = self.sockets.take() {
                self.remove(&current)?;
            }
        }
        let set = |fd, token, flags| match is_added {
            true => self.epoll.modify(fd, token, flags),
            false => self.epoll.add(fd, token, flags),
        };
        set(plane.sockets.v4.as_fd(), UDP_V4, flags.v4)?;
        if let Some(v6) = &plane.sockets.v6 {
            set(v6.as_fd(), UDP_V6, flags.v6)?;
        }
        self.sockets = Some(Arc::clone(&plane.sockets));
        Ok(())
    }

    fn remove(&self, sockets: &Sockets) -> io::Result<()> {
        sockets.iter().try_for_each(|socket| self.epoll.remove(socket.as_fd()))
    }

    /// Waits, and returns the tokens that are ready.
    pub(super) fn wait(
        &mut self,
        timeout: Option<Duration>,
        ready: &mut Vec<u64>,
    ) -> io::Result<()> {
        ready.clear();
        self.epoll.wait(timeout, ready)
    }

    /// Clears the timer, whose deadline is being served.
    pub(super) fn clear_timer(&mut self) {
        self.timer.clear();
        self.deadline_ns = None;
    }
}

fn is_same(current: Option<&Arc<Sockets>>, sockets: &Arc<Sockets>) -> bool {
    current.is_some_and(|current| Arc::ptr_eq(current, sockets))
}

impl Flags {
    fn of(plane: &DataPlane) -> Self {
        let read = if plane.inbound.is_some() { EventFlags::IN } else { EventFlags::empty() };
        let blocked_on_ipv4 = plane.outbound.as_ref().and_then(OutboundWorker::blocked_on_ipv4);
        let socket = |is_ipv4| match blocked_on_ipv4 {
            Some(blocked) if blocked == is_ipv4 => read | EventFlags::OUT,
            _ => read,
        };
        let tun = if plane.is_blocked() { EventFlags::empty() } else { EventFlags::IN };
        Self { tun, v4: socket(true), v6: socket(false) }
    }
}
