"""The `pyfw` command. Each subcommand is in the module of its name, which is imported on use."""

import importlib
import importlib.util

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


class LazyGroup(click.Group):
    """Finds the command NAME in the module pyfw.cli.NAME."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Returns the names of all subcommands."""
        return [name for name in SUBCOMMANDS if importlib.util.find_spec(f"pyfw.cli.{name}")]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Imports a subcommand."""
        if cmd_name not in SUBCOMMANDS or not importlib.util.find_spec(f"pyfw.cli.{cmd_name}"):
            return None
        command: click.Command = getattr(importlib.import_module(f"pyfw.cli.{cmd_name}"), cmd_name)
        return command


def _print_version(ctx: click.Context, _option: click.Parameter, is_set: bool) -> None:
    if is_set:
        from pyfw import _native

        click.echo(f"pyfw {_native.__version__} ({_native.build_profile})")
        ctx.exit()


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Print version and build profile, and exit.",
)
def group() -> None:
    """An order-preserving WireGuard data plane.

    A tunnel is a wg-quick file, NAME.conf. Settings that WireGuard does not have (threads, offloads,
    cipher, logs, stages) are in NAME.pyfw.toml beside it. For use with wg-quick and wg, see pyfw-wg.
    """
