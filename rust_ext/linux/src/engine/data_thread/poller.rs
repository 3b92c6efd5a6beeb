//! What a data thread waits for: an epoll whose interests follow the state of its paths.
//!
//! In: the paths' state, before each wait. Out: what is ready. Order: while a full socket holds the
//! outbound path up, the TUN is poller for nothing but its end, and that socket for room.

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

pub(crate) const COMMANDS: u64 = 0;
pub(crate) const TUN: u64 = 1;
pub(crate) const UDP_V4: u64 = 2;
pub(crate) const UDP_V6: u64 = 3;
pub(crate) const TICK: u64 = 4;
pub(crate) const RETIRED_V4: u64 = 5;
pub(crate) const RETIRED_V6: u64 = 6;

/// The epoll, and what it was told last.
pub(crate) struct Poller {
    epoll: Epoll,
    timer: DeadlineTimer,
    tick_ns: Option<u64>,
    sockets: Option<Arc<Sockets>>,
    retired: Option<Arc<Sockets>>,
    interests: Option<Interests>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Interests {
    tun: EventFlags,
    v4: EventFlags,
    v6: EventFlags,
}

impl Poller {
    pub(crate) fn new(
        handle: &DataPlaneHandle,
        shared: &Shared,
        paths: &DataPlane,
    ) -> io::Result<Self> {
        let (epoll, timer) = (Epoll::new()?, DeadlineTimer::new()?);
        epoll.add(handle.commands.as_fd(), COMMANDS, EventFlags::IN)?;
        epoll.add(timer.as_fd(), TICK, EventFlags::IN)?;
        if paths.outbound.is_some() {
            epoll.add(shared.tun.as_fd(), TUN, EventFlags::IN)?;
        }
        Ok(Self { epoll, timer, tick_ns: None, sockets: None, retired: None, interests: None })
    }

    /// Follows the paths' state; `tick_ns` is when stages want the time.
    pub(crate) fn follow(
        &mut self,
        paths: &DataPlane,
        shared: &Shared,
        tick_ns: Option<u64>,
    ) -> io::Result<()> {
        if self.tick_ns != tick_ns {
            self.tick_ns = tick_ns;
            self.timer.set(tick_ns)?;
        }
        self.follow_retired(paths)?;
        let wanted = Interests::of(paths);
        if self.sockets.as_ref().is_some_and(|known| Arc::ptr_eq(known, &paths.sockets))
            && self.interests == Some(wanted)
        {
            return Ok(());
        }
        if self.interests.map(|known| known.tun) != Some(wanted.tun) && paths.outbound.is_some() {
            self.epoll.modify(shared.tun.as_fd(), TUN, wanted.tun)?;
        }
        self.follow_sockets(paths, wanted)?;
        self.interests = Some(wanted);
        Ok(())
    }

    fn follow_retired(&mut self, paths: &DataPlane) -> io::Result<()> {
        let now = paths.retired.as_ref().map(|retired| &retired.sockets);
        match (&self.retired, now) {
            (None, None) => return Ok(()),
            (Some(known), Some(now)) if Arc::ptr_eq(known, now) => return Ok(()),
            _ => {}
        }
        for socket in self.retired.take().iter().flat_map(|known| known.both()) {
            self.epoll.remove(socket.as_fd())?;
        }
        let Some(now) = now else { return Ok(()) };
        // They may be poller as those in use yet.
        if self.sockets.as_ref().is_some_and(|known| Arc::ptr_eq(known, now)) {
            self.sockets = None;
            for socket in now.both() {
                self.epoll.remove(socket.as_fd())?;
            }
        }
        self.epoll.add(now.v4.as_fd(), RETIRED_V4, EventFlags::IN)?;
        if let Some(v6) = &now.v6 {
            self.epoll.add(v6.as_fd(), RETIRED_V6, EventFlags::IN)?;
        }
        self.retired = Some(Arc::clone(now));
        Ok(())
    }

    fn follow_sockets(&mut self, paths: &DataPlane, wanted: Interests) -> io::Result<()> {
        let same = self.sockets.as_ref().is_some_and(|known| Arc::ptr_eq(known, &paths.sockets));
        if !same {
            if let Some(known) = self.sockets.take() {
                for socket in known.both() {
                    self.epoll.remove(socket.as_fd())?;
                }
            }
        }
        let set = |fd, token, interest| match same {
            true => self.epoll.modify(fd, token, interest),
            false => self.epoll.add(fd, token, interest),
        };
        set(paths.sockets.v4.as_fd(), UDP_V4, wanted.v4)?;
        if let Some(v6) = &paths.sockets.v6 {
            set(v6.as_fd(), UDP_V6, wanted.v6)?;
        }
        self.sockets = Some(Arc::clone(&paths.sockets));
        Ok(())
    }

    pub(crate) fn wait(
        &mut self,
        timeout: Option<Duration>,
        ready: &mut Vec<u64>,
    ) -> io::Result<()> {
        ready.clear();
        self.epoll.wait(timeout, ready)
    }

    /// The tick is being served.
    pub(crate) fn clear_tick(&mut self) {
        self.timer.clear();
        self.tick_ns = None;
    }
}

impl Interests {
    fn of(paths: &DataPlane) -> Self {
        let read = if paths.inbound.is_some() { EventFlags::IN } else { EventFlags::empty() };
        let blocked_on_ipv4 = paths.outbound.as_ref().and_then(OutboundWorker::blocked_on_ipv4);
        let of = |is_ipv4| match blocked_on_ipv4 {
            Some(blocked) if blocked == is_ipv4 => read | EventFlags::OUT,
            _ => read,
        };
        let tun = if paths.is_blocked() { EventFlags::empty() } else { EventFlags::IN };
        Self { tun, v4: of(true), v6: of(false) }
    }
}
