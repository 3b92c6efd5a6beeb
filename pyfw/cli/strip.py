"""`pyfw strip CONF`: a file as wg takes it, without the keys that only wg-quick knows."""

import click

from pyfw.cli.group import fail, system_error
from pyfw.cli.tunnel_file import load


@click.command(name="strip", short_help="Print a tunnel's file as wg setconf takes it.")
@click.argument("conf")
def strip(conf: str) -> None:
    """Print CONF, a path to NAME.conf or a NAME in /etc/wireguard, as wg setconf and wg syncconf take it.

    \b
      wg syncconf wg0 <(pyfw strip wg0)

    What is wrong in the file is told, and the exit status is 2, but it is printed all the same: wg refuses
    what is wrong, whereas nothing at all would take every peer away.
    """
    from pyfw import config as configuration

    try:
        text = configuration.path_of(conf).read_text(errors="surrogateescape")
    except OSError as error:
        fail(system_error(error, "cannot read the configuration"))
    # A blank line at the end, as wg-quick has it.
    click.echo(configuration.strip(text).encode(errors="surrogateescape"))
    load(conf)
