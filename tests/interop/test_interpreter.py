"""A tunnel without Python stages does not wait for Python."""

import sys
from pathlib import Path

from lab import BEHIND, Implementation
from pyfw.demo.transfer import TransferServer
from tests.interop.conftest import MakePair
from tests.interop.held_interpreter import HOLD_FILE


def test_traffic_moves_while_the_interpreter_is_held(make_pair: MakePair) -> None:
    script = str(Path(__file__).with_name("held_interpreter.py"))
    held = Implementation("pyfw run held", (sys.executable, script), by_setconf=False)
    pair = make_pair(lambda: held, lambda: held)
    pair.first_ping_ms()
    serving = TransferServer(pair.network.server, BEHIND["server"].v4)
    for daemon in pair.daemons:
        daemon.at.write(HOLD_FILE, "")
        daemon.process.wait_for("held")
    transfer = serving.transfer(pair.network.client, "up", 64 << 20)
    assert transfer.sha256_equal
    assert not any("released" in daemon.process.output() for daemon in pair.daemons)
    # The judge asks the daemons, which answer when they have the interpreter again.
    for daemon in pair.daemons:
        daemon.process.wait_for("released", timeout_s=10)
