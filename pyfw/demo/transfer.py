"""TCP transfers between machines, with a digest at both ends; runs the script `traffic`."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

from pyfw.demo.namespace import Namespace
from pyfw.demo.process import Process

_PORT = 5301
# Run by its path, without imports of the package, so that it starts at once. -P keeps the modules beside it
# out of sys.path.
_SCRIPT = [sys.executable, "-P", str(Path(__file__).with_name("traffic.py"))]


@dataclass(frozen=True)
class Transfer:
    """A finished transfer, timed by the receiver."""

    bytes: int
    seconds: float
    sent_sha256: str
    received_sha256: str

    @property
    def gbit_s(self) -> float:
        """Throughput as the application sees it."""
        return self.bytes * 8 / self.seconds / 1e9

    @property
    def sha256_equal(self) -> bool:
        """Whether the bytes arrived as they were sent."""
        return self.sent_sha256 == self.received_sha256


class TransferServer:
    """Sends and receives bytes over TCP, as clients ask."""

    def __init__(self, at: Namespace, address: str) -> None:
        self.address = address
        self._process = at.start(*_SCRIPT, "serve", address, str(_PORT))
        self._process.wait_for("listening")

    def start(self, by: Namespace, direction: str, amount: int) -> Process:
        """Starts a transfer of `amount` bytes, "up" to the server or "down" from it."""
        return by.start(*_SCRIPT, direction, self.address, str(_PORT), str(amount))

    def transfer(self, by: Namespace, direction: str, amount: int) -> Transfer:
        """Runs a transfer to its end."""
        return finish_transfer(self.start(by, direction, amount))

    def stop(self) -> None:
        """Stops the server."""
        self._process.stop()


def finish_transfer(process: Process, timeout_s: float = 60) -> Transfer:
    """Waits for a started transfer and returns its result."""
    return Transfer(**json.loads(process.wait(timeout_s)))
