"""`pyfw down`, from outside the daemon: its hooks at our terminal, its record undone, the daemon ended.

While we hold the record, the daemon leaves everything but the link to us. One that was killed is cleaned up
after; one that wg-quick has set up is taken down as `wg-quick down` does it.
"""

import asyncio
import contextlib
import errno
import os
import select
import signal
import socket
from pathlib import Path

from pyroute2 import AsyncIPRoute
from pyroute2.netlink.exceptions import NetlinkError

from pyfw.config import Config
from pyfw.control import interface_setup, saved
from pyfw.control.host import hooks, host_network, policy_routing
from pyfw.control.host.firewall import Table
from pyfw.control.host.step_reporter import StepReporter
from pyfw.control.host.undo_log import UndoLog, UndoRecord, network_namespace
from pyfw.control.uapi import client, socket_path

# A daemon drains what is queued, and its threads are joined.
_END_S, _PAUSE_S = 15.0, 0.02


async def down(name: str, config: Config | None, path: Path | None, steps: StepReporter) -> None:
    """Takes a tunnel down. Raises OSError; HookFailed where PreDown fails: then it stays up.

    config, path: its file, whose hooks count; without, those on record.
    """
    file = await UndoLog.claim(name)
    try:
        record = file.read()
        if not client.answers(name):
            if record is None:
                raise OSError(errno.ENODEV, f"{name} is not up: no daemon answers for it")
            await interface_setup.clean_up(name, record, steps)
            file.forget()
            return
        pre_down, post_down = (
            (config.interface.pre_down, config.interface.post_down)
            if config is not None
            else (record.pre_down, record.post_down)
            if record is not None
            else ((), ())
        )
        await hooks.run("PreDown", pre_down, name, steps)
        if config is not None and path is not None and config.interface.save_config:
            steps.step(f"wg showconf {name} > {path}")
            await saved.save(path, config, client.device(name))
        await host_network.undo(name, record or await _recognised(name), steps)
        if record is None:
            await _remove_wg_quicks_tables(name, steps)
        file.forget()
        await _end(name, steps)
        await hooks.run("PostDown", post_down, name, steps)
    finally:
        file.release()


async def _recognised(name: str) -> UndoRecord:
    """What somebody else has made for a tunnel, by its mark."""
    mark = client.device(name).fwmark
    rules = await policy_routing.marked(mark) if mark else []
    return UndoRecord(network=network_namespace(), rules=rules)


async def _remove_wg_quicks_tables(name: str, steps: StepReporter) -> None:
    for family in ("ip", "ip6"):
        table = Table(name, family=family, prefix="wg-quick-")
        if await table.exists():
            steps.step(f"nft delete table {family} {table.name}")
            await table.remove()


async def _end(name: str, steps: StepReporter) -> None:
    """Ends the daemon, and returns when it is gone."""
    pid = client.process(name)
    if pid is not None and _serves_another(pid, name):
        # A tunnel ends by itself, too, when its socket is deleted.
        path = socket_path.path_of(name)
        steps.step(f"rm -f {path}")
        path.unlink(missing_ok=True)
    elif pid is None:  # of another make, or out of reach: it ends with its link
        steps.step(f"ip link delete dev {name}")
        async with AsyncIPRoute() as ipr:
            try:
                await ipr.link("del", index=socket.if_nametoindex(name))
            except NetlinkError as error:
                raise OSError(error.code, f"{name}: {error.args[-1]}") from error
    else:
        steps.step(f"kill -TERM {pid}")
        await _end_process(pid)
    deadline = asyncio.get_running_loop().time() + _END_S
    while client.answers(name) or interface_setup.is_there(name):
        if asyncio.get_running_loop().time() > deadline:
            raise OSError(errno.ETIMEDOUT, f"the daemon of {name} does not end")
        await asyncio.sleep(_PAUSE_S)


def _serves_another(pid: int, name: str) -> bool:
    for other in client.interfaces():
        with contextlib.suppress(OSError):  # not ours to ask, or gone meanwhile
            if other != name and client.process(other) == pid:
                return True
    return False


async def _end_process(pid: int) -> None:
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        signal.pidfd_send_signal(descriptor, signal.SIGTERM)
        # Readable when the process is gone (pidfd_open(2)).
        await asyncio.to_thread(select.select, [descriptor], [], [], _END_S)
    except ProcessLookupError:
        pass
    finally:
        os.close(descriptor)
