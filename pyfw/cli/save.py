"""`pyfw save CONF`: writes the configuration of a running tunnel into its file."""

import click

from pyfw.cli.errors import fail, system_error
from pyfw.cli.load_config import load
from pyfw.cli.privileges import become_root


@click.command(name="save", short_help="Save the configuration of a running tunnel.")
@click.argument("conf")
def save(conf: str) -> None:
    """Write the running configuration into CONF, a path to NAME.conf or a NAME in /etc/wireguard.

    Like wg-quick save: keys, peers and endpoints come from the daemon, addresses and MTU from the
    interface, wg-quick's other keys from the file. Comments are lost.

    Without root or CAP_NET_ADMIN, pyfw re-executes itself under sudo.
    """
    import asyncio

    from pyfw import config as configuration
    from pyfw.control import save_config
    from pyfw.control.uapi import client

    become_root()
    config = load(conf)
    if not client.is_running(config.name):
        fail(f"{config.name} is not up: no daemon answers for it")
    try:
        device = client.device(config.name)
        asyncio.run(save_config.save(configuration.path_of(conf), config, device))
    except OSError as error:
        fail(system_error(error, f"cannot save {config.name}"))
