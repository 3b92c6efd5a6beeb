"""`pyfw pubkey`: prints the public key of a private key, like `wg pubkey`."""

import click


@click.command(name="pubkey", short_help="Print the public key of a private key.")
def pubkey() -> None:
    """Read a private key from standard input and print its public key, both in base64."""
    from pyfw import _native
    from pyfw.cli.keys import read_key, write_key

    write_key(_native.public_key(read_key()), secret=False)
