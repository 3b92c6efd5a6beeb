"""`pyfw demo`: three namespaces, a web page, 1 GiB each way, and the counters of both daemons."""

import json
import sys
import time

import click

from pyfw.demo.command import errors_reported
from pyfw.demo.daemon import INTERFACE, Daemon, pyfw_wg
from pyfw.demo.daemon_counters import drops, gso_batches, late
from pyfw.demo.limits import limits
from pyfw.demo.network import BEHIND, Network
from pyfw.demo.pair import Pair
from pyfw.demo.report import DemoResult, DirectionResult
from pyfw.demo.terminal import Terminal
from pyfw.demo.transfer import TransferServer, finish_transfer
from pyfw.demo.web import WebServer

# The inner payloads of the trace that the project started from: a web server's answer in which full and
# shorter TCP segments alternate.
SEED_LENGTHS = (1228, 834, 1031, 1228, 834, 1228, 1228, 637, 1228, 1228)
_PROGRESS_S = 0.2


@click.command(name="demo", short_help="Run a tunnel in namespaces of this machine.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
@click.option(
    "--mib", default=1024, show_default=True, type=click.IntRange(1), help="MiB to move each way."
)
def demo(as_json: bool, mib: int) -> None:
    """Run a tunnel in three namespaces of this machine: client, gateway, and a server behind it.

    Loads a web page through the tunnel, moves 1 GiB each way and prints the counters: GSO batches, late
    datagrams, segments out of order, drops. Needs root or unprivileged user namespaces, and leaves nothing
    behind. Exits with 0 if everything arrived unchanged and in order.
    """
    terminal = Terminal(sys.stderr if as_json else sys.stdout, quiet=as_json)
    with errors_reported("the demo", terminal):
        result = run(terminal, mib << 20)
    if as_json:
        click.echo(json.dumps(result.as_json()))
    else:
        terminal.write(result.as_text(terminal))
    sys.exit(0 if result.passed else 1)


def run(terminal: Terminal, amount: int) -> DemoResult:
    """Runs the demo with `amount` bytes each way. Raises Unavailable."""
    implementation = pyfw_wg()
    terminal.step("three namespaces: client, gateway, a server behind the gateway")
    with Network() as network:
        # With ECN pyfw marks packets where a queue builds up, instead of dropping them: nothing is
        # retransmitted, and the receiver sees no gap.
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
        return DemoResult(
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
    """Returns the drops of a daemon and of the kernel queues around it."""
    return drops(daemon.counters()) | daemon.at.counters().queue_drops(INTERFACE)


def seed_batches() -> list[list[int]]:
    """Returns the GSO batches that gso_egress makes of the seed's trace."""
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
) -> DirectionResult:
    up = name == "up"
    sender, receiver = (network.client, network.server) if up else (network.server, network.client)
    sending, receiving = (pair.client, pair.gateway) if up else (pair.gateway, pair.client)
    counted = "in_bytes" if up else "out_bytes"
    before = network.server.counters().interfaces["eth0"][counted]
    terminal.step(f"{amount >> 20} MiB {name}")
    process = server.start(network.client, name, amount)
    while process.returncode is None:
        moved = network.server.counters().interfaces["eth0"][counted] - before
        terminal.progress(f"{amount >> 20} MiB {name}", moved / amount)
        time.sleep(_PROGRESS_S)
    transfer = finish_transfer(process)
    sent, received = sending.counters(), receiving.counters()
    # All counters are since the start, so the page and the handshake are included.
    return DirectionResult(
        transfer=transfer,
        late=late(received),
        out_of_order=receiver.counters().out_of_order,
        retransmitted=sender.counters().retransmitted,
        segments=received["inbound"]["left"],
        gso=gso_batches(sent),
    )
