"""What up, down, save, strip and run share: a tunnel's file, named by path or name, and the right to act."""

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pyfw.cli.group import EXIT_USAGE, fail, system_error

if TYPE_CHECKING:
    from pyfw.config import Config

_CAP_NET_ADMIN = 12  # linux/capability.h


def load(conf: str) -> "Config":
    """Reads a tunnel's files; tells all that is wrong in them, and ends."""
    from pyfw import config as configuration

    try:
        config = configuration.load(conf)
    except configuration.ConfigError as error:
        fail(error, EXIT_USAGE)
    except OSError as error:
        fail(system_error(error, "cannot read the configuration"))
    for warning in config.warnings:
        click.echo(f"pyfw: warning: {warning}", err=True)
    return config


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
