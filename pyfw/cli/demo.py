"""`pyfw demo`: the tunnel, shown. Three namespaces, a page, 1 GiB each way, and what was counted."""

import json
import sys
import time

import click

from lab import BEHIND, Daemon, Network, Pair, pyfw_wg
from pyfw.demo.counter_checks import drops, gso, late
from pyfw.demo.daemon import INTERFACE
from pyfw.demo.in_namespace import in_lab
from pyfw.demo.limits import limits
from pyfw.demo.report import Account, Direction
from pyfw.demo.terminal import Terminal
from pyfw.demo.transfer import TransferServer, finished
from pyfw.demo.web import WebServer

# The inner payloads of the trace that the project starts from: a web server's answer in which full
# and shorter TCP segments alternate.
SEED_LENGTHS = (1228, 834, 1031, 1228, 834, 1228, 1228, 637, 1228, 1228)
_PROGRESS_S = 0.2


@click.command(name="demo", short_help="Show pyfw at work, in namespaces of this machine.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead.")
@click.option(
    "--mib", default=1024, show_default=True, type=click.IntRange(1), help="MiB each way."
)
def demo(as_json: bool, mib: int) -> None:
    """Show pyfw at work in three namespaces of this machine: client, gateway, a server behind it.

    Loads a page through the tunnel, moves 1 GiB each way and tells what was counted: batches, late
    counters, segments out of order, drops. Root is not needed where user namespaces are allowed.
    Nothing is left behind. Ends with 0 if all that was sent came unchanged and in order.
    """
    terminal = Terminal(sys.stderr if as_json else sys.stdout, quiet=as_json)
    with in_lab("the demo", terminal):
        account = show(terminal, mib << 20)
    if as_json:
        click.echo(json.dumps(account.as_json()))
    else:
        terminal.write(account.as_text(terminal))
    sys.exit(0 if account.good else 1)


def show(terminal: Terminal, amount: int) -> Account:
    """The demo itself. Raises Unavailable."""
    implementation = pyfw_wg()
    terminal.step("three namespaces: client, gateway, a server behind the gateway")
    with Network() as network:
        # Where a queue stands, pyfw marks what can carry it: nothing is sent twice, and all stays in order.
        for machine in network.machines:
            machine.sysctl("net.ipv4.tcp_ecn", "1")
        terminal.step("pyfw as client and as gateway")
        pair = Pair(network, implementation, implementation)
        handshake_ms = pair.first_ping_ms()
        web = WebServer(network.server, BEHIND["server"].v4)
        terminal.step(f"a page, served by {web.name}")
        page = web.load(network.client)
        server = TransferServer(network.server, BEHIND["server"].v4)
        directions = {
            name: _transfer(terminal, network, pair, server, name, amount)
            for name in ("up", "down")
        }
        terminal.clear()
        return Account(
            handshake_ms=handshake_ms,
            web_server=web.name,
            page=page,
            up=directions["up"],
            down=directions["down"],
            client_drops=_drops(pair.client),
            gateway_drops=_drops(pair.gateway),
            seed_batches=seed_batches(),
            limits=limits(network.user.is_root),
        )


def _drops(daemon: Daemon) -> dict[str, int]:
    """What a daemon and the queues of its machine have dropped."""
    return drops(daemon.counters()) | daemon.at.counters().queue_drops(INTERFACE)


def seed_batches() -> list[list[int]]:
    """The seed's trace through the stage that decides the order: which datagrams share a send."""
    from pyfw.stages import GsoEgress

    egress = GsoEgress()
    for number, length in enumerate(SEED_LENGTHS):
        egress.push("192.0.2.1:51820", "192.0.2.2:51820", bytes([number]) * length)
    return [list(batch.lengths) for batch in egress.drain()]


def _transfer(
    terminal: Terminal,
    network: Network,
    pair: Pair,
    server: TransferServer,
    name: str,
    amount: int,
) -> Direction:
    up = name == "up"
    sender, receiver = (network.client, network.server) if up else (network.server, network.client)
    entering, leaving = (pair.client, pair.gateway) if up else (pair.gateway, pair.client)
    # Where application bytes pass on the server's side, whichever way they go.
    passing = "in_bytes" if up else "out_bytes"
    before = network.server.counters().interfaces["eth0"][passing]
    terminal.step(f"{amount >> 20} MiB {name}")
    transfer = server.start(network.client, name, amount)
    while transfer.returncode is None:
        done = network.server.counters().interfaces["eth0"][passing] - before
        terminal.progress(f"{amount >> 20} MiB {name}", done / amount)
        time.sleep(_PROGRESS_S)
    done_transfer = finished(transfer)
    sent, received = entering.counters(), leaving.counters()
    return Direction(
        transfer=done_transfer,
        # Since the start, so the page and the handshake are in it as well.
        late=late(received),
        out_of_order=receiver.counters().out_of_order,
        retransmitted=sender.counters().retransmitted,
        segments=received["inbound"]["left"],
        gso=gso(sent),
    )
