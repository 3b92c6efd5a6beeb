"""`pyfw genpsk`: prints a new preshared key, like `wg genpsk`."""

import click


@click.command(name="genpsk", short_help="Print a new preshared key.")
def genpsk() -> None:
    """Print a new preshared key in base64."""
    from pyfw import _native
    from pyfw.cli.keys import write_key

    write_key(_native.generate_preshared_key(), secret=True)
