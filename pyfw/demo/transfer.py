"""Transfers between the lab's machines: what is asked of `traffic`, and what it found."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

from pyfw.demo.namespace import Namespace
from pyfw.demo.process import Process

_PORT = 5301
# By its path, with nothing of the package imported: it has to start at once. -P keeps the modules
# beside it off the path.
_SCRIPT = [sys.executable, "-P", str(Path(__file__).with_name("traffic.py"))]


@dataclass(frozen=True)
class Transfer:
    """A finished TCP transfer, by the receiver's clock."""

    bytes: int
    seconds: float
    sent_sha256: str
    received_sha256: str

    @property
    def gbit_s(self) -> float:
        """Throughput of what the application got."""
        return self.bytes * 8 / self.seconds / 1e9

    @property
    def sha256_equal(self) -> bool:
        """Whether the bytes came as they were sent."""
        return self.sent_sha256 == self.received_sha256


class TransferServer:
    """Gives and takes bytes over TCP."""

    def __init__(self, at: Namespace, address: str) -> None:
        self.address = address
        self._process = at.start(*_SCRIPT, "serve", address, str(_PORT))
        self._process.wait_for("listening")

    def start(self, by: Namespace, direction: str, amount: int) -> Process:
        """Starts a transfer of `amount` bytes, "up" to the server or "down" from it."""
        return by.start(*_SCRIPT, direction, self.address, str(_PORT), str(amount))

    def transfer(self, by: Namespace, direction: str, amount: int) -> Transfer:
        """The same, to its end."""
        return finished(self.start(by, direction, amount))

    def stop(self) -> None:
        """Ends it."""
        self._process.stop()


def finished(process: Process, timeout_s: float = 60) -> Transfer:
    """Waits for a started transfer."""
    return Transfer(**json.loads(process.wait(timeout_s)))


@dataclass(frozen=True)
class Datagrams:
    """A finished UDP transfer: the digests cover length, ECN and bytes in the order of arrival."""

    sent_sha256: str
    received_sha256: str
    received_ecn: dict[str, int]
    sent: list[str]
    received: list[str]

    @property
    def difference(self) -> str | None:
        """What came otherwise than it was sent: the first few places, in words; None where nothing."""
        if self.sent_sha256 == self.received_sha256:
            return None
        places = {entry: number for number, entry in enumerate(self.sent)}
        pairs = enumerate(zip(self.sent, self.received, strict=False))
        found = [
            f"place {number}: {came} came, which was sent as {places.get(came, 'nothing')}, not {sent}"
            for number, (sent, came) in pairs
            if sent != came
        ]
        return f"{len(found)} of {len(self.sent)} differ; " + "; ".join(found[:8])


def datagrams(
    source: Namespace,
    sink: Namespace,
    address: str,
    count: int,
    *,
    lengths: str = "1-1400",
    ecn: str = "0",
) -> Datagrams:
    """Sends `count` datagrams of all `lengths` ("first-last") with the ECN values in turn."""
    where = [address, str(_PORT), str(count)]
    taking = sink.start(*_SCRIPT, "udp-sink", *where)
    taking.wait_for("listening")
    giving = source.start(*_SCRIPT, "udp-source", *where, "--lengths", lengths, "--ecn", ecn)
    sent = json.loads(giving.wait(60))
    received = json.loads(taking.wait(60).removeprefix("listening\n"))
    return Datagrams(
        sent["sha256"], received["sha256"], received["ecn"], sent["entries"], received["entries"]
    )
