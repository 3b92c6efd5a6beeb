"""`pyfw up CONF`: a tunnel in the background, with all that wg-quick does; back when it is up."""

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from pyfw.cli import background
from pyfw.cli.group import fail
from pyfw.cli.tunnel_file import become_root, fail_start, load

if TYPE_CHECKING:
    from pyfw.config import Config


@click.command(name="up", short_help="Bring a tunnel up, in the background, as wg-quick does.")
@click.argument("conf")
def up(conf: str) -> None:
    """Bring up the tunnel of CONF, a path to NAME.conf or a NAME in /etc/wireguard.

    Does what wg-quick up does, in its order, and says each step: PreUp, addresses, MTU, DNS, routes,
    PostUp. Ends with 0 once the tunnel is up; where a step fails, everything is undone. The daemon stays in
    the background until pyfw down; it is silent, unless LOG_LEVEL is set.
    """
    become_root()
    config = load(conf)
    keep_output = os.environ.get("LOG_LEVEL", "silent") != "silent"
    status = background.run(lambda ready: _serve(conf, config, ready), keep_output=keep_output)
    if status is None:
        fail(f"{config.name} is not up: its daemon ended without a word")
    sys.exit(status)


def _serve(conf: str, config: "Config", ready: Callable[[], None]) -> int:
    from pyfw.cli.run import log_level
    from pyfw.config import path_of
    from pyfw.control import Daemon, StartFailed, run_to_end, serve
    from pyfw.control.host.step_reporter import StepReporter
    from pyfw.observe import log

    log.configure(log_level("warning"))
    steps = StepReporter(config.name, to_terminal=True)

    def is_up() -> None:
        steps.to_log()
        ready()

    daemon = Daemon(config.name, config, config_path=path_of(conf), steps=steps)
    try:
        return run_to_end(serve([daemon], on_ready=is_up))
    except StartFailed as failed:
        fail_start(failed, f"{failed.name} is not up")
