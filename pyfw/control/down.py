"""Implements `pyfw down`: takes a tunnel down from outside its daemon.

Hooks run at the caller's terminal. While this process holds the undo log, the daemon removes nothing but the
link. Also cleans up after a daemon that was killed, and takes down what wg-quick has set up.
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
from pyfw.control import interface_setup, save_config
from pyfw.control.host import hooks, host_network, link, policy_routing
from pyfw.control.host.firewall import Table
from pyfw.control.host.step_reporter import StepReporter
from pyfw.control.host.undo_log import UndoLog, UndoRecord, network_namespace
from pyfw.control.uapi import client, socket_path

# Enough to drain what is queued, and to join threads.
_STOP_TIMEOUT_S, _POLL_S = 15.0, 0.02


async def down(name: str, config: Config | None, path: Path | None, steps: StepReporter) -> None:
    """Takes a tunnel down. Raises OSError; HookFailed if PreDown fails, and the tunnel stays up then.

    config, path: the tunnel's file, whose hooks run. Without it, the recorded hooks run.
    """
    undo_log = await UndoLog.claim(name)
    try:
        record = undo_log.read()
        if not client.is_running(name):
            if record is None:
                raise OSError(errno.ENODEV, f"{name} is not up: no daemon answers for it")
            await interface_setup.clean_up(name, record, steps)
            undo_log.clear()
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
            await save_config.save(path, config, client.device(name))
        await host_network.undo(name, record or await _find_changes(name), steps)
        if record is None:
            await _remove_tables_of_wg_quick(name, steps)
        undo_log.clear()
        await _stop_daemon(name, steps)
        await hooks.run("PostDown", post_down, name, steps)
    finally:
        undo_log.release()


async def _find_changes(name: str) -> UndoRecord:
    """Returns a record of the rules that another program added for a tunnel, found by its mark."""
    mark = client.device(name).fwmark
    rules = await policy_routing.find_rules(mark) if mark else []
    return UndoRecord(network=network_namespace(), rules=rules)


async def _remove_tables_of_wg_quick(name: str, steps: StepReporter) -> None:
    for family in ("ip", "ip6"):
        table = Table(name, family=family, prefix="wg-quick-")
        if await table.exists():
            steps.step(f"nft delete table {family} {table.name}")
            await table.remove()


async def _stop_daemon(name: str, steps: StepReporter) -> None:
    """Stops the daemon, or only this tunnel if the process has others, and waits for the end."""
    pid = client.daemon_pid(name)
    if pid is not None and _has_other_tunnels(pid, name):
        # Deleting its socket stops a single tunnel.
        path = socket_path.path_of(name)
        steps.step(f"rm -f {path}")
        path.unlink(missing_ok=True)
    elif pid is None:  # another implementation, or another process namespace: it ends with its link
        steps.step(f"ip link delete dev {name}")
        async with AsyncIPRoute() as ipr:
            try:
                await ipr.link("del", index=socket.if_nametoindex(name))
            except NetlinkError as error:
                raise OSError(error.code, f"{name}: {error.args[-1]}") from error
    else:
        steps.step(f"kill -TERM {pid}")
        await _terminate(pid)
    deadline = asyncio.get_running_loop().time() + _STOP_TIMEOUT_S
    while client.is_running(name) or link.exists(name):
        if asyncio.get_running_loop().time() > deadline:
            raise OSError(errno.ETIMEDOUT, f"the daemon of {name} does not stop")
        await asyncio.sleep(_POLL_S)


def _has_other_tunnels(pid: int, name: str) -> bool:
    for other in client.interfaces():
        with contextlib.suppress(OSError):  # no permission, or just stopped
            if other != name and client.daemon_pid(other) == pid:
                return True
    return False


async def _terminate(pid: int) -> None:
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        signal.pidfd_send_signal(descriptor, signal.SIGTERM)
        # Readable once the process has ended (pidfd_open(2)).
        await asyncio.to_thread(select.select, [descriptor], [], [], _STOP_TIMEOUT_S)
    except ProcessLookupError:
        pass
    finally:
        os.close(descriptor)
