"""DnsLog: which names are asked for in the tunnel, one JSON line a question, read with scapy.

    [[stages]]
    use = "examples/dns_log.py:DnsLog"
    direction = "outbound"
    options = { file = "names.jsonl" }

In: UDP to port 53. Out: the same. Drops: nothing. Order: as they came. scapy is slow (some 100 µs a
packet) and worth it where packets are few: the filter keeps all others away from Python. Its file is its
owner's alone; pyfw's own log never holds what people send.
"""

import json
import os
from pathlib import Path
from typing import TextIO

import msgspec

import pyfw


class DnsLog(pyfw.Stage):
    """Needs pyfw-dataplane[scapy]."""

    class Options(msgspec.Struct, frozen=True):
        """Where the names go."""

        file: Path

    filter = {"protocol": "udp", "dst_port": 53}
    # Whoever cannot read a question lets it pass.
    on_error = "pass"

    def start(self) -> None:
        """Open the file; an error here keeps the tunnel from starting."""
        descriptor = os.open(
            self.options.file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600
        )
        self._file: TextIO = os.fdopen(descriptor, "a", encoding="utf-8")

    def stop(self) -> None:
        """Close it."""
        self._file.close()

    def process(self, batch: pyfw.FrameBatch) -> None:
        """One write a batch."""
        from scapy.layers.dns import DNS

        lines = []
        for frame in batch:
            packet = frame.to_scapy()
            if DNS not in packet or packet[DNS].qr:
                self.count("unreadable")
                continue
            for question in packet[DNS].qd or []:
                name = question.qname.decode(errors="backslashreplace")
                kind = question.sprintf("%qtype%")
                lines.append(json.dumps({"from": frame.source, "name": name, "type": kind}))
        self.count("questions", len(lines))
        self._file.write("".join(f"{line}\n" for line in lines))
        self._file.flush()
