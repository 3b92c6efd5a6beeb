"""`pyfw save CONF`: a tunnel's file, written anew from what is in force."""

import click

from pyfw.cli.group import fail, system_error
from pyfw.cli.tunnel_file import become_root, load


@click.command(name="save", short_help="Write a running tunnel's state into its file.")
@click.argument("conf")
def save(conf: str) -> None:
    """Write what is in force into CONF, a path to NAME.conf or a NAME in /etc/wireguard.

    As wg-quick save: keys, peers and endpoints as the daemon has them, the addresses of the link, and
    wg-quick's own keys as they stand in the file. Comments are lost.
    """
    import asyncio

    from pyfw import config as configuration
    from pyfw.control import saved
    from pyfw.control.uapi import client

    become_root()
    config = load(conf)
    if not client.answers(config.name):
        fail(f"{config.name} is not up: no daemon answers for it")
    try:
        device = client.device(config.name)
        asyncio.run(saved.save(configuration.path_of(conf), config, device))
    except OSError as error:
        fail(system_error(error, f"cannot save {config.name}"))
