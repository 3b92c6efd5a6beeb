"""Several tunnels in one process: all come up or none, each ends alone, one wrong file changes nothing."""

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
from pyfw.observe import log as records

_BOTH_READY = "READY=1 STATUS=wg0 fine; wg1 fine"


class Log(list[str]):
    """What happened, in order; one can wait for it."""

    def __init__(self) -> None:
        super().__init__()
        self._changed = asyncio.Event()

    def add(self, line: str) -> None:
        self.append(line)
        self._changed.set()

    async def has(self, line: str, count: int = 1) -> None:
        while self.count(line) < count:
            self._changed.clear()
            await self._changed.wait()


class FakeDaemon:
    """A tunnel that is up when told so; `log` has what happened to all of them, in order."""

    def __init__(self, name: str, log: Log, fails: Exception | None = None) -> None:
        self.name = name
        self.log = log
        self.fails = fails
        self.wrong: Exception | None = None
        self.may_start = asyncio.Event()
        self.may_start.set()
        self.exit_status = 0
        self._stopped = asyncio.Event()
        self._up = False
        self.applied: list[Config] = []

    async def start(self) -> bool:
        self.log.add(f"{self.name} starts")
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
        self.log.add(f"{self.name} ends")
        return self.exit_status

    async def close(self) -> None:
        if self._up:
            self.log.add(f"{self.name} closes")
        self._up = False

    def stop(self, reason: str = "") -> None:
        self._stopped.set()

    @property
    def is_up(self) -> bool:
        return self._up and not self._stopped.is_set()

    async def read(self) -> Config | None:
        if self.wrong:
            raise self.wrong
        return Config(name=self.name)

    async def apply(self, config: Config) -> bool:
        self.log.add(f"{self.name} applies")
        return True

    @property
    def status(self) -> str:
        return f"{self.name} fine"

    def log_counters(self) -> None:
        self.log.add(f"{self.name} counts")


class Manager(Notifier):
    """A service manager that remembers, and of which one can wait for a word."""

    def __init__(self) -> None:
        super().__init__()
        self.told = Log()

    def _send(self, *lines: str) -> None:
        self.told.add(lines[0] if lines[0] != "READY=1" else " ".join(lines))


def serving(
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


async def nothing(_manager: Manager) -> None:
    return None


def made(log: Log, count: int = 2) -> list[FakeDaemon]:
    return [FakeDaemon(f"wg{n}", log) for n in range(count)]


def test_sigterm_ends_all_and_the_service_manager_is_told_first() -> None:
    log = Log()

    async def act(_manager: Manager) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    status, manager = serving(made(log), act)
    assert status == 0
    assert log[:2] == ["wg0 starts", "wg1 starts"]
    assert sorted(log[2:]) == ["wg0 closes", "wg0 ends", "wg1 closes", "wg1 ends"]
    assert manager.told == [_BOTH_READY, "STOPPING=1"]


def test_where_one_cannot_start_none_stays_up() -> None:
    log = Log()
    daemons = [*made(log), FakeDaemon("wg2", log, fails=OSError(98, "in use")), *made(log, 1)]
    with pytest.raises(StartFailed) as caught:
        serving(daemons, nothing)
    assert (caught.value.name, str(caught.value.error)) == ("wg2", "[Errno 98] in use")
    assert log == ["wg0 starts", "wg1 starts", "wg2 starts", "wg1 closes", "wg0 closes"]


def test_told_to_end_before_all_are_up_it_ends_well_and_none_stays_up() -> None:
    log = Log()
    one, two = made(log)

    async def run() -> int:
        two.may_start.clear()
        task = asyncio.create_task(serve(cast(Sequence[Daemon], [one, two])))
        await log.has("wg1 starts")
        os.kill(os.getpid(), signal.SIGTERM)
        return await task

    assert asyncio.run(asyncio.wait_for(run(), 20)) == 0
    assert log == ["wg0 starts", "wg1 starts", "wg0 closes"]


def test_one_that_ends_ends_alone_and_the_worst_status_is_the_process_s() -> None:
    log = Log()
    daemons = made(log)

    async def act(manager: Manager) -> None:
        daemons[0].exit_status = 70
        daemons[0].stop()
        await manager.told.has("STATUS=wg1 fine")
        assert log[-1] == "wg0 closes"
        daemons[1].stop()

    status, manager = serving(daemons, act)
    assert status == 70
    assert manager.told == [_BOTH_READY, "STATUS=wg1 fine"]


def test_sighup_reloads_and_says_so() -> None:
    log = Log()
    daemons = made(log)

    async def act(manager: Manager) -> None:
        os.kill(os.getpid(), signal.SIGHUP)
        await manager.told.has(_BOTH_READY, 2)
        for daemon in daemons:
            daemon.stop()

    _, manager = serving(daemons, act)
    assert manager.told[:3] == [_BOTH_READY, "RELOADING=1", _BOTH_READY]
    assert log.count("wg0 applies") == log.count("wg1 applies") == 1


def test_a_signal_during_a_reload_means_another_one() -> None:
    log = Log()
    daemons = made(log, 1)

    async def act(manager: Manager) -> None:
        for _ in range(3):
            os.kill(os.getpid(), signal.SIGHUP)
        await log.has("wg0 applies", 2)
        await manager.told.has("READY=1 STATUS=wg0 fine", 2)
        daemons[0].stop()

    _, manager = serving(daemons, act)
    assert log.count("wg0 applies") == 2
    assert manager.told.count("RELOADING=1") == 2


def test_sigusr1_writes_the_counters_of_all() -> None:
    log = Log()
    daemons = made(log)

    async def act(_manager: Manager) -> None:
        os.kill(os.getpid(), signal.SIGUSR1)
        await log.has("wg1 counts")
        for daemon in daemons:
            daemon.stop()

    serving(daemons, act)
    assert log.count("wg0 counts") == 1


@pytest.mark.parametrize(
    "wrong", [ConfigError([Problem("wg1.conf", 3, "MTU", "no")]), OSError(2, "gone")]
)
def test_a_reload_in_which_one_file_is_wrong_changes_nothing_anywhere(
    wrong: Exception,
) -> None:
    written = io.StringIO()
    records.configure("info", written)

    async def run() -> bool:
        daemons = made(log, 3)
        for daemon in daemons:
            await daemon.start()
        daemons[1].wrong = wrong
        return await reload(cast(Sequence[Daemon], daemons))

    log = Log()
    assert not asyncio.run(run())
    assert not any("applies" in line for line in log)
    (told,) = written.getvalue().splitlines()
    assert '"interface":"wg1"' in told
