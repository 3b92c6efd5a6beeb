"""UDP transfers between machines, compared datagram by datagram; runs the script `udp_script`."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

from pyfw.demo.namespace import Namespace

_PORT = 5301
_SCRIPT = [sys.executable, "-P", str(Path(__file__).with_name("udp_script.py"))]


@dataclass(frozen=True)
class DatagramTransfer:
    """A finished transfer. The digests cover length, ECN and bytes in the order of arrival."""

    sent_sha256: str
    received_sha256: str
    received_ecn: dict[str, int]
    sent: list[str]
    received: list[str]

    @property
    def difference(self) -> str | None:
        """The first datagrams that arrived otherwise than they were sent, or None."""
        if self.sent_sha256 == self.received_sha256:
            return None
        places = {entry: number for number, entry in enumerate(self.sent)}
        pairs = enumerate(zip(self.sent, self.received, strict=False))
        found = [
            f"place {number}: {came}, sent as {places.get(came, 'nothing')}, instead of {sent}"
            for number, (sent, came) in pairs
            if sent != came
        ]
        return f"{len(found)} of {len(self.sent)} differ; " + "; ".join(found[:8])


def send_datagrams(
    source: Namespace,
    sink: Namespace,
    address: str,
    count: int,
    *,
    lengths: str = "1-1400",
    ecn: str = "0",
) -> DatagramTransfer:
    """Sends `count` datagrams of all `lengths` ("first-last"), with the `ecn` values in turn."""
    where = [address, str(_PORT), str(count)]
    receiver = sink.start(*_SCRIPT, "sink", *where)
    receiver.wait_for("listening")
    sender = source.start(*_SCRIPT, "source", *where, lengths, ecn)
    sent = json.loads(sender.wait(60))
    received = json.loads(receiver.wait(60).removeprefix("listening\n"))
    return DatagramTransfer(
        sent["sha256"], received["sha256"], received["ecn"], sent["entries"], received["entries"]
    )
