"""Does what wg-quick does around a tunnel, in its order, and undoes it.

    begin   undoes what a killed daemon left; PreUp up      addresses, MTU, name servers, routes (the longest
    prefix first), firewall and rules of a default route;
            PostUp
    sync    the same for a changed configuration, without hooks
    down    PreDown, SaveConfig; removes name servers, firewall and rules
    end     PostDown, after the link and all that belongs to it are gone

Whatever outlives the link is recorded before it is done. Undoing needs the record only, so `pyfw down` and
the next start after a crash can do it, too.
"""

import errno
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from pyfw.config import Config
from pyfw.control.host import hooks, host_network, link, resolv_conf
from pyfw.control.host.firewall import Table
from pyfw.control.host.host_network import HostNetwork
from pyfw.control.host.step_reporter import StepReporter
from pyfw.control.host.undo_log import UndoLog, UndoRecord, network_namespace
from pyfw.control.uapi import client, socket_path

_IFF_PERSIST = 0x0800  # linux/if_tun.h


class InterfaceSetup:
    """The host's side of one tunnel, in the process that runs the tunnel. Methods raise OSError.

    set_mark: sets the mark of the tunnel's datagrams; called before a route depends on it.
    """

    def __init__(self, name: str, steps: StepReporter, set_mark: Callable[[int], None]) -> None:
        self.name = name
        self._steps = steps
        self._set_mark = set_mark
        self._undo_log: UndoLog | None = None
        self._record = UndoRecord(network=network_namespace())
        self._host_network: HostNetwork | None = None
        # A killed daemon has left a kill switch, which stays closed until this one is up.
        self._kill_switch_is_left = False

    async def begin(self, config: Config, *, is_passed: bool = False) -> None:
        """Prepares the start, before there is a link. `end` must follow.

        is_passed: link or socket were passed as descriptors, so they exist already.
        """
        undo_log = await UndoLog.claim(self.name)
        try:
            if not is_passed:
                _check_name_is_free(self.name)
            left = undo_log.read()
            if left is not None and left.kill_switch and config.settings.kill_switch:
                self._kill_switch_is_left = left.network == self._record.network
            keep = self._kill_switch_is_left
            await clean_up(self.name, left, self._steps, keep_kill_switch=keep)
        except BaseException:
            undo_log.release()
            raise
        self._undo_log = undo_log
        if left is not None and self._kill_switch_is_left:
            self._record.firewall = self._record.kill_switch = True
            self._record.mark, self._record.endpoints = left.mark, left.endpoints
        self._record_hooks(config)
        await hooks.run("PreUp", config.interface.pre_up, self.name, self._steps)

    async def up(self, config: Config) -> int:
        """Sets the host up, once the daemon serves the link. Endpoints must be numeric. Returns the MTU."""
        self._host_network = HostNetwork(
            self.name, self._record, self._save_record, self._set_mark, self._steps
        )
        if self._kill_switch_is_left and self._record.mark:
            # A link sends as soon as it is up, and a handshake that the kill switch blocks is retried only
            # after seconds.
            self._host_network.restore_mark(self._record.mark)
        mtu = await self._host_network.apply(config)
        await hooks.run("PostUp", config.interface.post_up, self.name, self._steps)
        self._record.up = True
        self._kill_switch_is_left = False
        self._save_record()
        self._release_undo_log()
        return mtu

    @property
    def known_endpoints(self) -> Mapping[str, str]:
        """Numeric endpoints by name, if a closed kill switch blocks DNS."""
        return self._record.endpoints if self._kill_switch_is_left else {}

    def remember_endpoints(self, config: Config, resolved: Config) -> None:
        """Records resolved endpoints for the next start, if there is a kill switch."""
        if config.settings.kill_switch:
            self._record.endpoints = {
                named.endpoint: numeric.endpoint
                for named, numeric in zip(config.peers, resolved.peers, strict=True)
                if named.endpoint and numeric.endpoint and named.endpoint != numeric.endpoint
            }

    async def sync(self, config: Config) -> int:
        """Applies another configuration to a tunnel that is up. Returns the MTU."""
        assert self._host_network is not None
        self._undo_log = await UndoLog.claim(self.name)
        try:
            self._record_hooks(config)
            return await self._host_network.apply(config)
        finally:
            self._release_undo_log()

    async def down(self, save_config: Callable[[], Awaitable[None]] | None) -> None:
        """Takes the host's side down; the link may be gone. Reports errors, and goes on with the rest.

        save_config: saves the configuration, if SaveConfig is set.
        """
        if self._undo_log is None:
            self._undo_log = await UndoLog.claim(self.name)
            record = self._undo_log.read()
            if record is None:  # `pyfw down` has done it
                self._release_undo_log()
                return
            self._record = record
        if self._record.up and link.exists(self.name):
            await _run_all_hooks("PreDown", self._record.pre_down, self.name, self._steps)
            if save_config is not None:
                await _warn_on_error(save_config(), self._steps)
        keep = self._kill_switch_is_left
        await host_network.undo(self.name, self._record, self._steps, keep_kill_switch=keep)

    async def end(self) -> None:
        """Finishes, after the link is gone. May be called at any time after `begin`."""
        if self._undo_log is None:
            return
        if self._record.up:
            await _run_all_hooks("PostDown", self._record.post_down, self.name, self._steps)
        if self._kill_switch_is_left:
            text = f"the kill switch stays closed; pyfw down {self.name} opens it"
            self._steps.warning("kill_switch.closed", text)
            self._undo_log.write(_kill_switch_record(self._record))
        else:
            self._undo_log.clear()
        self._release_undo_log()

    def _record_hooks(self, config: Config) -> None:
        self._record.pre_down = config.interface.pre_down
        self._record.post_down = config.interface.post_down
        self._save_record()

    def _save_record(self) -> None:
        assert self._undo_log is not None
        self._undo_log.write(self._record)

    def _release_undo_log(self) -> None:
        if self._undo_log is not None:
            self._undo_log.release()
            self._undo_log = None


async def clean_up(
    name: str, left: UndoRecord | None, steps: StepReporter, *, keep_kill_switch: bool = False
) -> None:
    """Undoes what a daemon that no longer runs has left. `left`: its record."""
    if left is not None:
        text = "an earlier run was killed: undoing what it left"
        steps.warning("undo.leftovers", text)
        await host_network.undo(name, left, steps, keep_kill_switch=keep_kill_switch)
        if left.up:
            await _run_all_hooks("PostDown", left.post_down, name, steps)
        socket_path.path_of(name).unlink(missing_ok=True)
        return
    if await Table(name).exists():
        await host_network.remove_table(name, steps)
    if resolv_conf.recover():
        text = f"restored {resolv_conf.PATH}, which a power failure had left replaced"
        steps.warning("dns.recovered", text)


def _kill_switch_record(record: UndoRecord) -> UndoRecord:
    """Returns a record of nothing but the kill switch."""
    return UndoRecord(
        network=record.network,
        firewall=True,
        kill_switch=True,
        mark=record.mark,
        endpoints=record.endpoints,
    )


def _check_name_is_free(name: str) -> None:
    if client.is_running(name):
        raise OSError(errno.EADDRINUSE, f"{name} is already running")
    if not link.exists(name):
        return
    try:
        flags = int(Path(f"/sys/class/net/{name}/tun_flags").read_text(), 16)
    except (OSError, ValueError):
        flags = 0
    # A persistent TUN is made to be attached later.
    if not flags & _IFF_PERSIST:
        raise OSError(errno.EEXIST, f"an interface {name} exists already")


async def _run_all_hooks(key: str, lines: Sequence[str], name: str, steps: StepReporter) -> None:
    """Runs the hooks of a tunnel that goes down, even after one that failed."""
    for line in lines:
        await _warn_on_error(hooks.run(key, [line], name, steps), steps)


async def _warn_on_error(step: Awaitable[None], steps: StepReporter) -> None:
    try:
        await step
    except OSError as error:
        steps.warning("down.step_failed", str(error))
