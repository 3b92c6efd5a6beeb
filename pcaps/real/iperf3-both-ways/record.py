"""iperf3 sends 300 kB each way at once over TCP, then 80 kB over UDP."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))
from recording import record

from lab import BEHIND, Network


def run_iperf3(network: Network) -> None:
    """Runs both loads."""
    address = BEHIND["server"].v4
    for load in (["--bidir", "--bytes", "300K"], ["--udp", "--bitrate", "40M", "--bytes", "80K"]):
        server = network.server.start(
            "iperf3", "--server", "--one-off", "--forceflush", "--bind", address
        )
        server.wait_for("listening")
        network.client.run("iperf3", "--client", address, *load)
        server.wait(10)


record(run_iperf3)
