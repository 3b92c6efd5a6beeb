"""`pyfw down CONF`: takes a tunnel down, like `wg-quick down`."""

import click

from pyfw.cli.errors import fail, system_error
from pyfw.cli.privileges import become_root


@click.command(name="down", short_help="Take a tunnel down, like wg-quick.")
@click.argument("conf")
def down(conf: str) -> None:
    """Take down the tunnel of CONF, a path to NAME.conf or a NAME in /etc/wireguard.

    Does what wg-quick down does, in its order, and prints each step: PreDown, SaveConfig, DNS, firewall,
    rules, interface, PostDown. Runs the hooks that are in the file now; if the file cannot be read,
    those recorded when the tunnel came up. Also cleans up after a daemon that was killed.

    Without root or CAP_NET_ADMIN, pyfw re-executes itself under sudo.
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
        click.echo(f"pyfw: warning: {error}; using the recorded hooks", err=True)
    try:
        asyncio.run(take_down(name, config, path, StepReporter(name, to_terminal=True)))
    except OSError as error:
        fail(system_error(error, f"{name} is not down"))
