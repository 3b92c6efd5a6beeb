"""A tunnel without Python stages does not wait for the GIL."""

import sys
from pathlib import Path

from lab import BEHIND, Implementation
from pyfw.demo.transfer import TransferServer
from tests.interop.conftest import MakePair
from tests.interop.daemon_with_held_gil import HOLD_FILE, RELEASE_FILE


def test_traffic_flows_while_the_gil_is_held(make_pair: MakePair) -> None:
    script = str(Path(__file__).with_name("daemon_with_held_gil.py"))
    held = Implementation("pyfw run held", (sys.executable, script), by_setconf=False)
    pair = make_pair(lambda: held, lambda: held)
    pair.first_ping_ms()
    server = TransferServer(pair.network.server, BEHIND["server"].v4)
    for daemon in pair.daemons:
        daemon.at.write(HOLD_FILE, "")
        daemon.process.wait_for("held")
    try:
        transfer = server.transfer(pair.network.client, "up", 32 << 20)
        assert transfer.sha256_equal
        assert not any("released" in daemon.process.output() for daemon in pair.daemons)
    finally:
        for daemon in pair.daemons:
            daemon.at.write(RELEASE_FILE, "")
    # The counters are read once the daemons have the GIL again.
    for daemon in pair.daemons:
        daemon.process.wait_for("released", timeout_s=10)
