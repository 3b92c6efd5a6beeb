"""`pyfw genkey`: prints a new private key, like `wg genkey`."""

import click


@click.command(name="genkey", short_help="Print a new private key.")
def genkey() -> None:
    """Print a new private key in base64."""
    from pyfw import _native
    from pyfw.cli.keys import write_key

    write_key(_native.generate_private_key(), secret=True)
