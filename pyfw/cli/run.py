"""`pyfw run CONF`: a tunnel in the foreground, until it is told to stop."""

import os
from typing import TYPE_CHECKING, NoReturn

import click

from pyfw.cli.group import EXIT_USAGE, fail, system_error

if TYPE_CHECKING:
    from pyfw.config import Config, Interface


@click.command(name="run", short_help="Run a tunnel from a wg-quick file in the foreground.")
@click.argument("conf")
@click.option("--check", is_flag=True, help="Only read the files and say what is wrong in them.")
def run(conf: str, check: bool) -> None:
    """Run the tunnel of CONF, a path to NAME.conf or a NAME in /etc/wireguard.

    Sets addresses, MTU and routes as wg-quick does, and undoes them at the end. Logs are JSON lines on
    standard error; LOG_LEVEL=debug shows more. To read them:

    \b
      pyfw run wg0 2>&1 | jq -r '"\\(.time) \\(.severity) \\(.message)"'

    SIGHUP reads the files again, without losing a packet on peers that stay; SIGUSR1 logs the counters;
    SIGTERM and Ctrl-C end it.
    """
    from pyfw import config as configuration

    try:
        config = configuration.load(conf)
    except configuration.ConfigError as error:
        fail(error, EXIT_USAGE)
    except OSError as error:
        fail(system_error(error, "cannot read the configuration"))
    for warning in config.warnings:
        click.echo(f"pyfw: warning: {warning}", err=True)
    for key in _left_out(config.interface):
        click.echo(f"pyfw: warning: {key} is left to you: pyfw run does not do it", err=True)
    if not check:
        _run(conf, config)


def _run(conf: str, config: "Config") -> NoReturn:
    import asyncio

    from pyfw.control import Daemon
    from pyfw.observe import log

    asked = os.environ.get("LOG_LEVEL", "")
    level = {"verbose": "debug"}.get(asked, asked)
    log.configure(level if level in log.LEVELS else config.settings.log_level)
    daemon = Daemon(config.name, config, config_path=conf)
    try:
        status = asyncio.run(daemon.run())
    except OSError as error:
        fail(system_error(error, f"cannot run {config.name}"))
    except ValueError as error:  # the engine on what the files could not show
        fail(f"cannot run {config.name}: {error}")
    raise SystemExit(status)


def _left_out(interface: "Interface") -> list[str]:
    asked = {
        "PreUp": interface.pre_up,
        "PostUp": interface.post_up,
        "PreDown": interface.pre_down,
        "PostDown": interface.post_down,
        "DNS": interface.dns,
        "SaveConfig": interface.save_config,
    }
    return [key for key, value in asked.items() if value]
