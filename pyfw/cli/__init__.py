"""The command line. Imports only what a subcommand needs, so that `pyfw genkey` starts fast."""


def main() -> None:
    """Runs the `pyfw` command."""
    from pyfw.cli.group import group

    group(prog_name="pyfw")
