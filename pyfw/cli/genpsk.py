"""`pyfw genpsk`: prints a new preshared key, as `wg genpsk` does."""

import click


@click.command(name="genpsk", short_help="Print a new preshared key.")
def genpsk() -> None:
    """Print a new preshared key in base64."""
    from pyfw import _native
    from pyfw.cli import keys

    keys.write(_native.generate_preshared_key(), secret=True)
