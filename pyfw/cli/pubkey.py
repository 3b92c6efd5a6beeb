"""`pyfw pubkey`: private key on standard input, public key on standard output, as `wg pubkey`."""

import click


@click.command(name="pubkey", short_help="Print the public key of a private key.")
def pubkey() -> None:
    """Read a private key from standard input and print its public key, in base64."""
    from pyfw import _native
    from pyfw.cli import keys

    keys.write(_native.public_key(keys.read()), secret=False)
