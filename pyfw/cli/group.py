"""`pyfw` itself: its subcommands by name, each in the module of its name, imported when asked for."""

import importlib
import importlib.util
import os
import sys
from typing import Any, NoReturn

import click

# In the order of the help.
SUBCOMMANDS = (
    "run",
    "up",
    "down",
    "save",
    "strip",
    "show",
    "replay",
    "genkey",
    "pubkey",
    "genpsk",
    "demo",
)

EXIT_USAGE = 2
"""A wrong command line, or a wrong file: what the operator wrote; 1 is what the machine refused."""


class LazyGroup(click.Group):
    """Finds the command NAME in the module pyfw.cli.NAME."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All of them."""
        return [name for name in SUBCOMMANDS if importlib.util.find_spec(f"pyfw.cli.{name}")]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Imports one."""
        if cmd_name not in SUBCOMMANDS or not importlib.util.find_spec(f"pyfw.cli.{cmd_name}"):
            return None
        command: click.Command = getattr(importlib.import_module(f"pyfw.cli.{cmd_name}"), cmd_name)
        return command


def _version(ctx: click.Context, _option: click.Parameter, wanted: bool) -> None:
    if wanted:
        from pyfw import _native

        click.echo(f"pyfw {_native.__version__} ({_native.build_profile})")
        ctx.exit()


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_version,
    help="Print version and build profile, and end.",
)
def group() -> None:
    """An order-preserving WireGuard data plane.

    A tunnel is a wg-quick file, NAME.conf; what WireGuard does not know (threads, offloads, cipher,
    logs) is in NAME.pyfw.toml beside it. For wg-quick and wg there is pyfw-wg.
    """


def fail(text: object, status: int = 1) -> NoReturn:
    """Says what went wrong, in plain text on standard error, and ends."""
    for line in str(text).splitlines():
        click.echo(f"pyfw: {line}", err=True)
    sys.exit(status)


def system_error(error: OSError | ValueError, doing: str) -> str:
    """What the machine refused, in its own words, and what it may need; or what the engine did."""
    if not isinstance(error, OSError):
        return f"{doing}: {error}"
    words = os.strerror(error.errno) if error.errno and not error.strerror else error.strerror
    text = f"{doing}: {words or error}"
    if error.filename:
        text += f": {error.filename}"
    hints: dict[Any, str] = {
        1: "it needs root or CAP_NET_ADMIN",  # EPERM
        13: "it needs root or CAP_NET_ADMIN",  # EACCES
    }
    hint = hints.get(error.errno)
    return f"{text} ({hint})" if hint else text
