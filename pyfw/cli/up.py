"""`pyfw up CONF`: brings a tunnel up in the background, like `wg-quick up`."""

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from pyfw.cli import background
from pyfw.cli.errors import fail, fail_start
from pyfw.cli.load_config import load
from pyfw.cli.privileges import become_root

if TYPE_CHECKING:
    from pyfw.config import Config


@click.command(name="up", short_help="Bring a tunnel up in the background, like wg-quick.")
@click.argument("conf")
def up(conf: str) -> None:
    """Bring up the tunnel of CONF, a path to NAME.conf or a NAME in /etc/wireguard.

    Does what wg-quick up does, in its order, and prints each step: PreUp, addresses, MTU, DNS, routes,
    PostUp. If a step fails, undoes all of them. Exits with 0 once the tunnel is up; the daemon runs in
    the background until pyfw down. It logs nothing, unless LOG_LEVEL is set.

    Without root or CAP_NET_ADMIN, pyfw re-executes itself under sudo.
    """
    become_root()
    config = load(conf)
    keep_output = os.environ.get("LOG_LEVEL", "silent") != "silent"
    status = background.run(lambda ready: _serve(conf, config, ready), keep_output=keep_output)
    if status is None:
        fail(f"{config.name} is not up: the daemon exited before it reported ready")
    sys.exit(status)


def _serve(conf: str, config: "Config", ready: Callable[[], None]) -> int:
    from pyfw.cli.run import log_level
    from pyfw.config import path_of
    from pyfw.control import Daemon, StartFailed, run_service, serve
    from pyfw.control.host.step_reporter import StepReporter
    from pyfw.observe import log

    log.configure(log_level("warning"))
    steps = StepReporter(config.name, to_terminal=True)

    def on_ready() -> None:
        steps.switch_to_log()
        ready()

    daemon = Daemon(config.name, config, config_path=path_of(conf), steps=steps)
    try:
        return run_service(serve([daemon], on_ready=on_ready))
    except StartFailed as failed:
        fail_start(failed, f"{failed.name} is not up")
