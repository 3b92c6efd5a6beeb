"""Loads the configuration of tunnels for a command, and exits with all errors if there are any."""

from typing import TYPE_CHECKING

import click

from pyfw.cli.errors import fail, system_error
from pyfw.control import exit_status

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pyfw.config import Config, Problem, StageConfig


def load(conf: str) -> "Config":
    """Loads the files of a tunnel, given by path or name."""
    return load_all([conf])[0]


def load_all(confs: "Sequence[str]", *, stages: bool = False) -> "list[Config]":
    """Loads the files of several tunnels. `stages`: loads their stages, too, to find errors in them."""
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
    problems += _conflicts(configs)
    for stage_configs in (config.settings.stages for config in configs if stages):
        try:
            _load_stages(stage_configs)
        except configuration.ConfigError as error:
            problems += error.problems
    if problems:
        fail(configuration.ConfigError(problems), exit_status.USAGE)
    for config in configs:
        for warning in config.warnings:
            click.echo(f"pyfw: warning: {warning}", err=True)
    return configs


def _load_stages(stages: "Sequence[StageConfig]") -> None:
    if stages:
        from pyfw.stages.load import load_stages

        load_stages(stages)


def _conflicts(configs: "Sequence[Config]") -> "Iterator[Problem]":
    from pyfw.config import Problem

    names: set[str] = set()
    ports: dict[int, str] = {}
    for config in configs:
        if config.name in names:
            yield Problem(f"{config.name}.conf", 0, "", "given twice; an interface has one file")
        names.add(config.name)
        port = config.interface.listen_port
        if port and ports.setdefault(port, config.name) != config.name:
            text = f"{port} is also the port of {ports[port]}; write another, or leave it out"
            yield Problem(f"{config.name}.conf", 0, "ListenPort", text)
