"""serve: several tunnels in one process, signals, reload, and the service manager."""

import asyncio
import io
import os
import signal
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast

import pytest

from pyfw.config import Config, ConfigError, Problem
from pyfw.control import Daemon, StartFailed, serve
from pyfw.control.notify import Notifier
from pyfw.control.service import reload
from pyfw.observe import log

_BOTH_READY = "READY=1 STATUS=wg0 running; wg1 running"


class Events(list[str]):
    """Events in order, for which a test can wait."""

    def __init__(self) -> None:
        super().__init__()
        self._changed = asyncio.Event()

    def add(self, line: str) -> None:
        self.append(line)
        self._changed.set()

    async def wait_for(self, line: str, count: int = 1) -> None:
        while self.count(line) < count:
            self._changed.clear()
            await self._changed.wait()


class FakeDaemon:
    """A daemon that does nothing. `events` is shared by all daemons of a test."""

    def __init__(self, name: str, events: Events, fails: Exception | None = None) -> None:
        self.name = name
        self.events = events
        self.fails = fails
        self.read_error: Exception | None = None
        self.may_start = asyncio.Event()
        self.may_start.set()
        self.exit_status = 0
        self._stopped = asyncio.Event()
        self._up = False
        self.applied: list[Config] = []

    async def start(self) -> bool:
        self.events.add(f"{self.name} starts")
        if self.fails:
            raise self.fails
        stopped = asyncio.ensure_future(self._stopped.wait())
        started = asyncio.ensure_future(self.may_start.wait())
        await asyncio.wait({stopped, started}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        self._up = started.done()
        started.cancel()
        return self._up

    async def ended(self) -> int:
        await self._stopped.wait()
        self.events.add(f"{self.name} ends")
        return self.exit_status

    async def close(self) -> None:
        if self._up:
            self.events.add(f"{self.name} closes")
        self._up = False

    def stop(self, reason: str = "") -> None:
        self._stopped.set()

    @property
    def is_up(self) -> bool:
        return self._up and not self._stopped.is_set()

    async def read(self) -> Config | None:
        if self.read_error:
            raise self.read_error
        return Config(name=self.name)

    async def apply(self, config: Config) -> bool:
        self.events.add(f"{self.name} applies")
        return True

    @property
    def status(self) -> str:
        return f"{self.name} running"

    def log_counters(self) -> None:
        self.events.add(f"{self.name} counts")


class Manager(Notifier):
    """A service manager that stores the first line of each notification."""

    def __init__(self) -> None:
        super().__init__()
        self.received = Events()

    def _send(self, *lines: str) -> None:
        self.received.add(lines[0] if lines[0] != "READY=1" else " ".join(lines))


def run_serve(
    daemons: Sequence[FakeDaemon], act: Callable[[Manager], Awaitable[Any]]
) -> tuple[int, Manager]:
    async def run() -> tuple[int, Manager]:
        manager = Manager()
        ready = asyncio.Event()
        task = asyncio.create_task(
            serve(cast(Sequence[Daemon], daemons), on_ready=ready.set, notifier=manager)
        )
        up = asyncio.create_task(ready.wait())
        await asyncio.wait({task, up}, return_when=asyncio.FIRST_COMPLETED)
        up.cancel()
        await act(manager)
        return await task, manager

    return asyncio.run(asyncio.wait_for(run(), 20))


async def do_nothing(_manager: Manager) -> None:
    return None


def make_daemons(events: Events, count: int = 2) -> list[FakeDaemon]:
    return [FakeDaemon(f"wg{n}", events) for n in range(count)]


def test_sigterm_ends_all_and_notifies_the_manager_first() -> None:
    events = Events()

    async def act(_manager: Manager) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    status, manager = run_serve(make_daemons(events), act)
    assert status == 0
    assert events[:2] == ["wg0 starts", "wg1 starts"]
    assert sorted(events[2:]) == ["wg0 closes", "wg0 ends", "wg1 closes", "wg1 ends"]
    assert manager.received == [_BOTH_READY, "STOPPING=1"]


def test_if_one_cannot_start_none_stays_up() -> None:
    events = Events()
    daemons = [
        *make_daemons(events),
        FakeDaemon("wg2", events, fails=OSError(98, "in use")),
        *make_daemons(events, 1),
    ]
    with pytest.raises(StartFailed) as caught:
        run_serve(daemons, do_nothing)
    assert (caught.value.name, str(caught.value.error)) == ("wg2", "[Errno 98] in use")
    assert events == ["wg0 starts", "wg1 starts", "wg2 starts", "wg1 closes", "wg0 closes"]


def test_sigterm_during_the_start_ends_all_with_status_0() -> None:
    events = Events()
    one, two = make_daemons(events)

    async def run() -> int:
        two.may_start.clear()
        task = asyncio.create_task(serve(cast(Sequence[Daemon], [one, two])))
        await events.wait_for("wg1 starts")
        os.kill(os.getpid(), signal.SIGTERM)
        return await task

    assert asyncio.run(asyncio.wait_for(run(), 20)) == 0
    assert events == ["wg0 starts", "wg1 starts", "wg0 closes"]


def test_daemons_end_alone_and_the_worst_status_counts() -> None:
    events = Events()
    daemons = make_daemons(events)

    async def act(manager: Manager) -> None:
        daemons[0].exit_status = 70
        daemons[0].stop()
        await manager.received.wait_for("STATUS=wg1 running")
        assert events[-1] == "wg0 closes"
        daemons[1].stop()

    status, manager = run_serve(daemons, act)
    assert status == 70
    assert manager.received == [_BOTH_READY, "STATUS=wg1 running"]


def test_sighup_reloads_and_notifies_the_manager() -> None:
    events = Events()
    daemons = make_daemons(events)

    async def act(manager: Manager) -> None:
        os.kill(os.getpid(), signal.SIGHUP)
        await manager.received.wait_for(_BOTH_READY, 2)
        for daemon in daemons:
            daemon.stop()

    _, manager = run_serve(daemons, act)
    assert manager.received[:3] == [_BOTH_READY, "RELOADING=1", _BOTH_READY]
    assert events.count("wg0 applies") == events.count("wg1 applies") == 1


def test_sighup_during_a_reload_causes_another_one() -> None:
    events = Events()
    daemons = make_daemons(events, 1)

    async def act(manager: Manager) -> None:
        for _ in range(3):
            os.kill(os.getpid(), signal.SIGHUP)
        await events.wait_for("wg0 applies", 2)
        await manager.received.wait_for("READY=1 STATUS=wg0 running", 2)
        daemons[0].stop()

    _, manager = run_serve(daemons, act)
    assert events.count("wg0 applies") == 2
    assert manager.received.count("RELOADING=1") == 2


def test_sigusr1_logs_the_counters_of_all() -> None:
    events = Events()
    daemons = make_daemons(events)

    async def act(_manager: Manager) -> None:
        os.kill(os.getpid(), signal.SIGUSR1)
        await events.wait_for("wg1 counts")
        for daemon in daemons:
            daemon.stop()

    run_serve(daemons, act)
    assert events.count("wg0 counts") == 1


@pytest.mark.parametrize(
    "error", [ConfigError([Problem("wg1.conf", 3, "MTU", "no")]), OSError(2, "gone")]
)
def test_an_error_in_one_file_prevents_any_change(error: Exception) -> None:
    output = io.StringIO()
    log.configure("info", output)
    events = Events()

    async def run() -> bool:
        daemons = make_daemons(events, 3)
        for daemon in daemons:
            await daemon.start()
        daemons[1].read_error = error
        return await reload(cast(Sequence[Daemon], daemons))

    assert not asyncio.run(run())
    assert not any("applies" in line for line in events)
    (line,) = output.getvalue().splitlines()
    assert '"interface":"wg1"' in line
