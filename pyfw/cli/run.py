"""`pyfw run CONF…`: runs tunnels in the foreground, in one process, until it is stopped."""

import os
import sys
import threading
import time
from typing import TYPE_CHECKING, NoReturn

import click

from pyfw.cli.errors import fail_start
from pyfw.cli.load_config import load_all

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyfw.config import Config
    from pyfw.control import Daemon

# For threads of stages, after everything else has ended.
_JOIN_TIMEOUT_S = 1.0


@click.command(name="run", short_help="Run tunnels in the foreground.")
@click.argument("conf", nargs=-1, required=True)
@click.option("--check", is_flag=True, help="Validate the files and their stages, and exit.")
@click.option(
    "--reload",
    "watch",
    is_flag=True,
    help="Reload when a file changes, those of stages included.",
)
def run(conf: tuple[str, ...], check: bool, watch: bool) -> None:
    """Run the tunnel of each CONF, a path to NAME.conf or a NAME in /etc/wireguard, in one process.

    Does what wg-quick does, hooks, DNS and SaveConfig included, and undoes it at the end. Logs are JSON
    lines on standard error; LOG_LEVEL=debug shows more. To read them:

    \b
      pyfw run wg0 2>&1 | jq -r '"\\(.time) \\(.severity) \\(.message)"'

    All tunnels come up, or none. If a file has errors, nothing is done, and the exit status is 2. After
    the start each tunnel is independent.

    SIGHUP reads the files again, without losing a packet on peers that stay, and replaces stages whose
    files have changed. SIGUSR1 logs the counters. SIGTERM, Ctrl-C and pyfw down stop it. If
    NOTIFY_SOCKET is set, notifies systemd.
    """
    # Several tunnels come up together or not at all, so find errors in stages first.
    configs = load_all(conf, stages=check or len(conf) > 1)
    if check:
        return
    daemons: list[Daemon] = []
    try:
        _run(conf, configs, daemons, watch)
    except SystemExit as error:
        _exit(error, daemons)


def log_level(default: str) -> str:
    """Returns the level from LOG_LEVEL, or the default if it is not set or unknown."""
    from pyfw.observe import log

    level = os.environ.get("LOG_LEVEL", "")
    level = {"verbose": "debug"}.get(level, level)
    return level if level in log.LEVELS else default


def _run(
    confs: "Sequence[str]", configs: "Sequence[Config]", daemons: "list[Daemon]", watch: bool
) -> NoReturn:
    from pyfw.config import path_of
    from pyfw.control import Daemon, StartFailed, run_service, serve
    from pyfw.control.notify import Notifier
    from pyfw.observe import log

    levels = {config.settings.log_level for config in configs}
    log.configure(log_level(min(levels, key=log.LEVELS.__getitem__)))
    daemons += [
        Daemon(config.name, config, config_path=path_of(conf))
        for conf, config in zip(confs, configs, strict=True)
    ]
    try:
        status = run_service(serve(daemons, notifier=Notifier.from_environment(), watch=watch))
    except StartFailed as failed:
        fail_start(failed, f"cannot run {failed.name}")
    raise SystemExit(status)


def _exit(error: SystemExit, daemons: "Sequence[Daemon]") -> NoReturn:
    """Exits, by os._exit if threads of stages are still running.

    Python would wait for threads that a stage started, without a timeout; and a thread that is inside a stage
    while the interpreter shuts down crashes the process.
    """
    import structlog

    deadline = time.monotonic() + _JOIN_TIMEOUT_S
    others = [one for one in threading.enumerate() if one is not threading.current_thread()]
    for thread in others:
        if not thread.daemon:
            thread.join(max(0.0, deadline - time.monotonic()))
    left = [thread.name for thread in others if thread.is_alive() and not thread.daemon]
    if not left and not any(daemon.has_left_behind for daemon in daemons):
        raise error
    if left:
        structlog.get_logger("pyfw").warning("stage.threads_running", names=left)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(error.code if isinstance(error.code, int) else 1)
