"""What up, down, save, strip and run share: a tunnel's file, named by path or name, and the right to act."""

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from pyfw.cli.group import EXIT_USAGE, fail, system_error

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pyfw.config import Config, Problem, StageConfig
    from pyfw.control import StartFailed

_CAP_NET_ADMIN = 12  # linux/capability.h


def load(conf: str) -> "Config":
    """Reads a tunnel's files; tells all that is wrong in them, and ends."""
    return load_all([conf])[0]


def load_all(confs: "Sequence[str]", *, stages: bool = False) -> "list[Config]":
    """The same for several tunnels: what is wrong in any file is told, and ends us.

    stages: whether what they name is looked for, too.
    """
    from pyfw import config as configuration

    configs: list[Config] = []
    problems: list[configuration.Problem] = []
    for conf in confs:
        try:
            configs.append(configuration.load(conf))
        except configuration.ConfigError as error:
            problems += error.problems
        except OSError as error:
            fail(system_error(error, "cannot read the configuration"))
    problems += _given_twice(configs)
    for asked in (config.settings.stages for config in configs if stages):
        try:
            _find(asked)
        except configuration.ConfigError as error:
            problems += error.problems
    if problems:
        fail(configuration.ConfigError(problems), EXIT_USAGE)
    for config in configs:
        for warning in config.warnings:
            click.echo(f"pyfw: warning: {warning}", err=True)
    return configs


def fail_start(failed: "StartFailed", doing: str) -> NoReturn:
    """Tells why a tunnel did not come up, and ends."""
    from pyfw.config import ConfigError

    if isinstance(failed.error, ConfigError):  # of a stage
        fail(failed.error, EXIT_USAGE)
    fail(system_error(failed.error, doing))


def _find(stages: "Sequence[StageConfig]") -> None:
    if stages:
        from pyfw.stages.find import find

        find(stages)


def _given_twice(configs: "Sequence[Config]") -> "Iterator[Problem]":
    from pyfw.config import Problem

    names: set[str] = set()
    ports: dict[int, str] = {}
    for config in configs:
        if config.name in names:
            yield Problem(f"{config.name}.conf", 0, "", "given twice; an interface has one file")
        names.add(config.name)
        port = config.interface.listen_port
        if port and ports.setdefault(port, config.name) != config.name:
            text = f"{port} is the port of {ports[port]}, too; write another, or leave it out"
            yield Problem(f"{config.name}.conf", 0, "ListenPort", text)


def become_root() -> None:
    """As wg-quick: asks sudo, where we may not do it ourselves."""
    if os.geteuid() == 0 or _may_configure_networks() or shutil.which("sudo") is None:
        return
    prompt = "pyfw must be run as root. Please enter the password for %u to continue: "
    sys.stdout.flush()
    sys.stderr.flush()
    ourselves = str(Path(shutil.which(sys.argv[0]) or sys.argv[0]).absolute())
    os.execvp("sudo", ["sudo", "-p", prompt, "--", ourselves, *sys.argv[1:]])


def _may_configure_networks() -> bool:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> _CAP_NET_ADMIN & 1)
    return False
