"""Wireshark decrypts what pyfw and another WireGuard send each other, with pyfw's key log."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import TUNNEL, Implementation, Network, Process
from lab.datagrams import send_datagrams
from tests.interop.foreign_network import ForeignNetwork

pytestmark = pytest.mark.skipif(
    not all(map(shutil.which, ("tshark", "tcpdump"))), reason="tshark or tcpdump is not installed"
)

_MTU = 1420
_OVERHEAD = 32
_INITIATION, _RESPONSE, _DATA = "1", "2", "4"
# Sent inside the tunnel; it must not appear outside.
CANARY = b"canary in the tunnel"


class Recording:
    """A capture at the client's outer interface, and the key log that decrypts it."""

    def __init__(self, foreign_network: ForeignNetwork, folder: Path) -> None:
        self.folder = folder
        self.key_log = folder / "keys"
        self.file = folder / "outer.pcap"
        self._dump: Process = foreign_network.network.client.start(
            *("tcpdump", "--immediate-mode", "-U", "-i", "outer", "-w", str(self.file)),
            *("-Z", "root", "udp"),
        )
        self._dump.wait_for("listening")

    def end(self) -> None:
        """Stops recording."""
        time.sleep(0.3)  # for packets that tcpdump has not written yet
        self._dump.stop()

    def fields(self, *names: str) -> list[list[str]]:
        """Returns these fields of each WireGuard message."""
        arguments = [argument for name in names for argument in ("-e", name)]
        done = subprocess.run(
            [
                *("tshark", "-n", "-r", str(self.file), "-o", f"wg.keylog_file:{self.key_log}"),
                *("-Y", "wg", "-T", "fields", "-E", "separator=|", "-E", "occurrence=f"),
                *arguments,
            ],
            capture_output=True,
            text=True,
            check=True,
            env={"HOME": str(self.folder), "PATH": "/usr/bin:/bin:/usr/local/bin"},
        )
        return [line.split("|") for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def recording(
    peer_network: tuple[Network, Implementation], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Recording]:
    """A recording of handshakes from both ends and packets of all lengths."""
    foreign_network = ForeignNetwork(*peer_network)
    for machine in (foreign_network.network.client, foreign_network.network.gateway):
        # Single datagrams on the link; otherwise a batch is one packet.
        machine.ip("link", "set", "outer", "gso_max_segs", "1")
    recording = Recording(foreign_network, tmp_path_factory.mktemp("wire"))
    pair = foreign_network.pair_with_key_log(recording.key_log, preshared=True)
    pair.first_ping_ms()
    pair.restart("gateway")
    pair.first_ping_ms(by="gateway", version=6)
    ping = ["ping", "-n", "-c", "3", "-i", "0.1", "-p", CANARY[:16].hex(), "-s", "64"]
    pair.client.at.run(*ping, TUNNEL["gateway"].v4)
    if foreign_network.foreign.name != "kernel":
        result = send_datagrams(
            foreign_network.network.client,
            foreign_network.network.gateway,
            TUNNEL["gateway"].v4,
            200,
        )
        assert result.difference is None
    recording.end()
    yield recording
    foreign_network.end()


def test_wireshark_decrypts_every_message(recording: Recording) -> None:
    rows = recording.fields("wg.type", "ip.src", "wg.handshake_ok", "_ws.expert.message")
    for kind in (_INITIATION, _RESPONSE):
        assert {row[1] for row in rows if row[0] == kind} == {"192.0.2.1", "192.0.2.2"}
    # A valid response means that both messages of the handshake were decrypted.
    assert all(row[2] == "1" for row in rows if row[0] == _RESPONSE)
    # Other expert messages are about the payload, which is random.
    assert not [row for row in rows if "decryption failed" in row[3]]
    assert len(rows) > 10


def test_counters_are_unique_and_data_is_padded(recording: Recording) -> None:
    rows = [
        row
        for row in recording.fields("wg.type", "wg.receiver", "wg.counter", "ip.src", "udp.length")
        if row[0] == _DATA
    ]
    used = [tuple(row[1:4]) for row in rows]
    assert len(used) == len(set(used))
    for row in rows:
        if row[3] == "192.0.2.1":
            inner = int(row[4]) - 8 - _OVERHEAD
            assert inner % 16 == 0 or inner == _MTU


def test_plaintext_does_not_appear_outside(recording: Recording) -> None:
    assert CANARY[:16] not in recording.file.read_bytes()
    inner = recording.fields("data.data")
    assert any(CANARY[:16].hex() in row[0] for row in inner)
    assert recording.key_log.stat().st_mode & 0o777 == 0o600
