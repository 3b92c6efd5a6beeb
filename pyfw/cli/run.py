"""`pyfw run CONF…`: tunnels in the foreground, in one process, until they are told to stop."""

import os
import sys
import threading
import time
from typing import TYPE_CHECKING, NoReturn

import click

from pyfw.cli.tunnel_file import fail_start, load_all

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyfw.config import Config
    from pyfw.control import Daemon

_PATIENCE_S = 1.0
"""How long threads of stages may take to end behind everything else."""


@click.command(name="run", short_help="Run tunnels from wg-quick files in the foreground.")
@click.argument("conf", nargs=-1, required=True)
@click.option(
    "--check",
    is_flag=True,
    help="Only read the files, and the stages, and say what is wrong in them.",
)
@click.option(
    "--reload",
    "watch",
    is_flag=True,
    help="Read the files again when one of them changes, those of stages included.",
)
def run(conf: tuple[str, ...], check: bool, watch: bool) -> None:
    """Run the tunnel of each CONF, a path to NAME.conf or a NAME in /etc/wireguard, in one process.

    Does what wg-quick does, hooks, DNS and SaveConfig included, and undoes it at the end. Logs are JSON
    lines on standard error; LOG_LEVEL=debug shows more. To read them:

    \b
      pyfw run wg0 2>&1 | jq -r '"\\(.time) \\(.severity) \\(.message)"'

    All tunnels come up, or none: where a file is wrong, nothing is done, and the exit status is 2. Then each
    lives by itself.

    SIGHUP reads the files again, without losing a packet on peers that stay, and exchanges stages
    whose files have changed; SIGUSR1 logs the counters;
    SIGTERM, Ctrl-C and pyfw down end it. NOTIFY_SOCKET is told, as systemd wants it.
    """
    # Several come up together or not at all, so what can be found before is.
    configs = load_all(conf, stages=check or len(conf) > 1)
    if check:
        return
    daemons: list[Daemon] = []
    try:
        _run(conf, configs, daemons, watch)
    except SystemExit as end:
        _leave(end, daemons)


def log_level(default: str) -> str:
    """What LOG_LEVEL asks for, in our words; the default, if it asks for nothing we know."""
    from pyfw.observe import log

    asked = os.environ.get("LOG_LEVEL", "")
    level = {"verbose": "debug"}.get(asked, asked)
    return level if level in log.LEVELS else default


def _run(
    confs: "Sequence[str]", configs: "Sequence[Config]", daemons: "list[Daemon]", watch: bool
) -> NoReturn:
    from pyfw.config import path_of
    from pyfw.control import Daemon, StartFailed, run_to_end, serve
    from pyfw.control.notify import Notifier
    from pyfw.observe import log

    levels = {config.settings.log_level for config in configs}
    log.configure(log_level(min(levels, key=log.LEVELS.__getitem__)))
    daemons += [
        Daemon(config.name, config, config_path=path_of(conf))
        for conf, config in zip(confs, configs, strict=True)
    ]
    try:
        status = run_to_end(serve(daemons, notifier=Notifier.from_environment(), watch=watch))
    except StartFailed as failed:
        fail_start(failed, f"cannot run {failed.name}")
    raise SystemExit(status)


def _leave(end: SystemExit, daemons: "Sequence[Daemon]") -> NoReturn:
    """Ends the process, also where a stage has left a thread that would keep it, or that is inside of it.

    Python waits for threads that a stage started, however long they go on; and one that is in the middle of a
    stage while the interpreter ends takes the whole process down.
    """
    import structlog

    deadline = time.monotonic() + _PATIENCE_S
    others = [one for one in threading.enumerate() if one is not threading.current_thread()]
    for thread in others:
        if not thread.daemon:
            thread.join(max(0.0, deadline - time.monotonic()))
    left = [thread.name for thread in others if thread.is_alive() and not thread.daemon]
    if not left and not any(daemon.has_left_behind for daemon in daemons):
        raise end
    if left:
        structlog.get_logger("pyfw").warning("threads left behind", names=left)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(end.code if isinstance(end.code, int) else 1)
