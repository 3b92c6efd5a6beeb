"""The command line. Loads only what the subcommand needs: `pyfw genkey` starts fast."""


def main() -> None:
    """The `pyfw` command."""
    from pyfw.cli.group import group

    group(prog_name="pyfw")
