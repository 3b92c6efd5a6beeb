"""curl fetches thirty files over twelve connections at once, over both IP versions."""

import random
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))
from recording import record, serve

from lab import BEHIND, Network


def fetch(network: Network) -> None:
    """Fetches the files."""
    noise = random.Random(1)
    files = {f"{i}.bin": noise.randbytes(500 + i * 1200) for i in range(30)}
    for address in (BEHIND["server"].v4, BEHIND["server"].v6):
        serve(network.server, address, files)
        host = f"[{address}]" if ":" in address else address
        half = "[0-18]" if ":" in address else "[0-29]"
        curl = ["curl", "--silent", "--fail", "--parallel", "--parallel-max", "12"]
        network.client.run(*curl, "--output", "/dev/null", f"http://{host}:8080/{half}.bin")


record(fetch)
