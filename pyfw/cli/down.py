"""`pyfw down CONF`: a tunnel taken down, with all that wg-quick does."""

import click

from pyfw.cli.group import fail, system_error
from pyfw.cli.tunnel_file import become_root


@click.command(name="down", short_help="Take a tunnel down, as wg-quick does.")
@click.argument("conf")
def down(conf: str) -> None:
    """Take down the tunnel of CONF, a path to NAME.conf or a NAME in /etc/wireguard.

    Does what wg-quick down does, in its order, and says each step: PreDown, SaveConfig, DNS, firewall,
    rules, the daemon, PostDown. The file's hooks count, as they are now; where it cannot be read, those of
    when the tunnel came up. What a killed daemon has left is cleaned up, too.
    """
    import asyncio

    from pyfw import config as configuration
    from pyfw.control.down import down as take_down
    from pyfw.control.host.step_reporter import StepReporter
    from pyfw.observe import log

    become_root()
    path = configuration.path_of(conf)
    name = path.name.removesuffix(".conf")
    log.configure("warning")
    config = None
    try:
        config = configuration.load(conf)
    except (configuration.ConfigError, OSError) as error:
        click.echo(f"pyfw: warning: {error}; going by what is on record", err=True)
    try:
        asyncio.run(take_down(name, config, path, StepReporter(name, to_terminal=True)))
    except OSError as error:
        fail(system_error(error, f"{name} is not down"))
