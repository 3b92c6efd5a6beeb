"""`pyfw run CONF`: a tunnel in the foreground, until it is told to stop."""

import os
from typing import TYPE_CHECKING, NoReturn

import click

from pyfw.cli.group import fail, system_error
from pyfw.cli.tunnel_file import load

if TYPE_CHECKING:
    from pyfw.config import Config


@click.command(name="run", short_help="Run a tunnel from a wg-quick file in the foreground.")
@click.argument("conf")
@click.option("--check", is_flag=True, help="Only read the files and say what is wrong in them.")
def run(conf: str, check: bool) -> None:
    """Run the tunnel of CONF, a path to NAME.conf or a NAME in /etc/wireguard.

    Does what wg-quick does, hooks, DNS and SaveConfig included, and undoes it at the end. Logs are JSON
    lines on standard error; LOG_LEVEL=debug shows more. To read them:

    \b
      pyfw run wg0 2>&1 | jq -r '"\\(.time) \\(.severity) \\(.message)"'

    SIGHUP reads the files again, without losing a packet on peers that stay; SIGUSR1 logs the counters;
    SIGTERM, Ctrl-C and pyfw down end it.
    """
    config = load(conf)
    if not check:
        _run(conf, config)


def log_level(default: str) -> str:
    """What LOG_LEVEL asks for, in our words; the default, if it asks for nothing we know."""
    from pyfw.observe import log

    asked = os.environ.get("LOG_LEVEL", "")
    level = {"verbose": "debug"}.get(asked, asked)
    return level if level in log.LEVELS else default


def _run(conf: str, config: "Config") -> NoReturn:
    import asyncio

    from pyfw.config import path_of
    from pyfw.control import Daemon
    from pyfw.observe import log

    log.configure(log_level(config.settings.log_level))
    daemon = Daemon(config.name, config, config_path=path_of(conf))
    try:
        status = asyncio.run(daemon.run())
    except OSError as error:
        fail(system_error(error, f"cannot run {config.name}"))
    except ValueError as error:  # the engine on what the files could not show
        fail(f"cannot run {config.name}: {error}")
    raise SystemExit(status)
