"""Everything wg-quick does around a tunnel, in its order, and the way back.

    begin   what a killed daemon left is undone; PreUp
    up      addresses, MTU, name servers, routes (the longest prefix first), the firewall and the rules of a
            default route; PostUp
    sync    the same, where the configuration has changed; hooks do not run
    down    PreDown, SaveConfig; then name servers, firewall and rules are taken back
    end     when the link is gone, and all of its own with it: PostDown

Before something is done that outlives the link, it is on record. Who undoes goes by that record alone, so
`pyfw down` can do it as well, and the next start after a crash.
"""

import errno
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from pyfw.config import Config
from pyfw.control.host import hooks, host_network, resolv_conf
from pyfw.control.host.firewall import Table
from pyfw.control.host.host_network import HostNetwork
from pyfw.control.host.step_reporter import StepReporter
from pyfw.control.host.undo_log import UndoLog, UndoRecord, network_namespace
from pyfw.control.uapi import client, socket_path

_IFF_PERSIST = 0x0800  # linux/if_tun.h


class InterfaceSetup:
    """What surrounds one tunnel, kept by the process that runs it. Its methods raise OSError.

    set_mark: called with the mark our datagrams need, before any route depends on it.
    """

    def __init__(self, name: str, steps: StepReporter, set_mark: Callable[[int], None]) -> None:
        self.name = name
        self._steps = steps
        self._set_mark = set_mark
        self._file: UndoLog | None = None
        self._record = UndoRecord(network=network_namespace())
        self._surroundings: HostNetwork | None = None
        # A kill switch that a killed daemon left, and that stays closed until we are up.
        self._found_closed = False

    async def begin(self, config: Config, *, given: bool = False) -> None:
        """Before there is a link; `end` has to follow.

        given: link and socket were handed over, and are there already.
        """
        file = await UndoLog.claim(self.name)
        try:
            if not given:
                _refuse_a_second(self.name)
            left = file.read()
            if left is not None and left.kill_switch and config.settings.kill_switch:
                self._found_closed = left.network == self._record.network
            await clean_up(self.name, left, self._steps, keep_closed=self._found_closed)
        except BaseException:
            file.release()
            raise
        self._file = file
        if left is not None and self._found_closed:
            self._record.firewall = self._record.kill_switch = True
            self._record.mark, self._record.endpoints = left.mark, left.endpoints
        self._remember(config)
        await hooks.run("PreUp", config.interface.pre_up, self.name, self._steps)

    async def up(self, config: Config) -> int:
        """Once there is a link, and its daemon answers. Endpoints must be numeric. Returns the MTU."""
        self._surroundings = HostNetwork(
            self.name, self._record, self._keep, self._set_mark, self._steps
        )
        if self._found_closed and self._record.mark:
            # A link that comes up sends at once, and a handshake that is refused waits for seconds.
            self._surroundings.take_mark(self._record.mark)
        mtu = await self._surroundings.apply(config)
        await hooks.run("PostUp", config.interface.post_up, self.name, self._steps)
        self._record.up = True
        self._found_closed = False
        self._keep()
        self._let_go()
        return mtu

    @property
    def known_endpoints(self) -> Mapping[str, str]:
        """What names stood for, where they cannot be looked up: a kill switch is closed."""
        return self._record.endpoints if self._found_closed else {}

    def note_endpoints(self, config: Config, resolved: Config) -> None:
        """Remembers for the next start what names stand for, where a kill switch is asked for."""
        if config.settings.kill_switch:
            self._record.endpoints = {
                named.endpoint: numeric.endpoint
                for named, numeric in zip(config.peers, resolved.peers, strict=True)
                if named.endpoint and numeric.endpoint and named.endpoint != numeric.endpoint
            }

    async def sync(self, config: Config) -> int:
        """Brings what is up to what another configuration asks. Returns the MTU."""
        assert self._surroundings is not None
        self._file = await UndoLog.claim(self.name)
        try:
            self._remember(config)
            return await self._surroundings.apply(config)
        finally:
            self._let_go()

    async def down(self, save: Callable[[], Awaitable[None]] | None) -> None:
        """While the link is there; after it is gone as well. What fails is told, and the rest done.

        save: saves the configuration, where it asks for that.
        """
        if self._file is None:
            self._file = await UndoLog.claim(self.name)
            record = self._file.read()
            if record is None:  # `pyfw down` has done it
                self._let_go()
                return
            self._record = record
        if self._record.up and is_there(self.name):
            await _hooks_of_the_end("PreDown", self._record.pre_down, self.name, self._steps)
            if save is not None:
                await _told(save(), self._steps)
        keep_closed = self._found_closed
        await host_network.undo(self.name, self._record, self._steps, keep_closed=keep_closed)

    async def end(self) -> None:
        """When the link is gone. May be called whatever happened before."""
        if self._file is None:
            return
        if self._record.up:
            await _hooks_of_the_end("PostDown", self._record.post_down, self.name, self._steps)
        if self._found_closed:
            self._steps.warning(f"the kill switch stays closed; pyfw down {self.name} opens it")
            self._file.write(_only_closed(self._record))
        else:
            self._file.forget()
        self._let_go()

    def _remember(self, config: Config) -> None:
        self._record.pre_down = config.interface.pre_down
        self._record.post_down = config.interface.post_down
        self._keep()

    def _keep(self) -> None:
        assert self._file is not None
        self._file.write(self._record)

    def _let_go(self) -> None:
        if self._file is not None:
            self._file.release()
            self._file = None


async def clean_up(
    name: str, left: UndoRecord | None, steps: StepReporter, *, keep_closed: bool = False
) -> None:
    """Undoes what a daemon that is no more has left, but not its kill switch where told so.

    left: what is on record. Nobody may answer at its socket.
    """
    if left is not None:
        steps.warning("an earlier run was killed; what it left is undone")
        await host_network.undo(name, left, steps, keep_closed=keep_closed)
        if left.up:
            await _hooks_of_the_end("PostDown", left.post_down, name, steps)
        socket_path.path_of(name).unlink(missing_ok=True)
        return
    if await Table(name).exists():
        await host_network.remove_table(name, steps)
    if resolv_conf.recover():
        steps.warning(f"{resolv_conf.PATH} is again what it was before the machine stopped")


def _only_closed(record: UndoRecord) -> UndoRecord:
    """What is left on record of a kill switch alone."""
    return UndoRecord(
        network=record.network,
        firewall=True,
        kill_switch=True,
        mark=record.mark,
        endpoints=record.endpoints,
    )


def is_there(name: str) -> bool:
    """Whether there is a link of this name."""
    return any(name == other for _, other in socket.if_nameindex())


def _refuse_a_second(name: str) -> None:
    if client.answers(name):
        raise OSError(errno.EADDRINUSE, f"{name} runs already")
    if not is_there(name):
        return
    try:
        flags = int(Path(f"/sys/class/net/{name}/tun_flags").read_text(), 16)
    except (OSError, ValueError):
        flags = 0
    # A TUN that was made to be kept waits for who opens it.
    if not flags & _IFF_PERSIST:
        raise OSError(errno.EEXIST, f"an interface {name} exists already")


async def _hooks_of_the_end(key: str, lines: Sequence[str], name: str, steps: StepReporter) -> None:
    """Each has its turn, even after one that failed: nothing can be taken back any more."""
    for one in lines:
        await _told(hooks.run(key, [one], name, steps), steps)


async def _told(step: Awaitable[None], steps: StepReporter) -> None:
    try:
        await step
    except OSError as error:
        steps.warning(str(error))
