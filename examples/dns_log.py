"""DnsLog: writes each DNS question as a JSON line to a file; parses with scapy.

    [[stages]]
    use = "examples/dns_log.py:DnsLog"
    direction = "outbound"
    options = { file = "names.jsonl" }

Needs pyfw-dataplane[scapy]. scapy takes about 100 µs per packet, so the filter keeps all other frames away
from Python. The file is created with mode 0600; pyfw's own log never contains payload.
"""

import json
import os
from pathlib import Path
from typing import TextIO

import msgspec

import pyfw


class DnsLog(pyfw.Stage):
    """Logs the questions of UDP packets to port 53. Counters: questions, unreadable."""

    class Options(msgspec.Struct, frozen=True):
        """Where questions are written."""

        file: Path

    filter = {"protocol": "udp", "dst_port": 53}
    # A packet that cannot be parsed must still pass.
    on_error = "pass"

    def start(self) -> None:
        """Opens the file; an error here keeps the tunnel from starting."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        descriptor = os.open(self.options.file, flags, 0o600)
        self._file: TextIO = os.fdopen(descriptor, "a", encoding="utf-8")

    def stop(self) -> None:
        """Closes the file."""
        self._file.close()

    def process(self, batch: pyfw.FrameBatch) -> None:
        """Writes the questions of a batch in one write."""
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
