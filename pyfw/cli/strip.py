"""`pyfw strip CONF`: prints a file without the keys that only wg-quick has."""

import click

from pyfw.cli.errors import fail, system_error
from pyfw.cli.load_config import load


@click.command(name="strip", short_help="Print a tunnel's file for wg setconf.")
@click.argument("conf")
def strip(conf: str) -> None:
    """Print CONF, a path to NAME.conf or a NAME in /etc/wireguard, for wg setconf and wg syncconf.

    \b
      wg syncconf wg0 <(pyfw strip wg0)

    If the file has errors, reports them and exits with 2, but prints the file all the same: wg rejects a
    file with errors, whereas empty input would remove all peers.
    """
    from pyfw import config as configuration

    try:
        text = configuration.path_of(conf).read_text(errors="surrogateescape")
    except OSError as error:
        fail(system_error(error, "cannot read the configuration"))
    # With a blank line at the end, as wg-quick prints it.
    click.echo(configuration.strip(text).encode(errors="surrogateescape"))
    load(conf)
