"""`pyfw genkey`: prints a new private key, as `wg genkey` does."""

import click


@click.command(name="genkey", short_help="Print a new private key.")
def genkey() -> None:
    """Print a new private key in base64."""
    from pyfw import _native
    from pyfw.cli import keys

    keys.write(_native.generate_private_key(), secret=True)
