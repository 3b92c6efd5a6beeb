"""`pyfw demo`: its report, and that it leaves nothing behind."""

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pyfw.demo.daemon_counters import GsoBatches
from pyfw.demo.namespace import unavailable
from pyfw.demo.report import DemoResult, DirectionResult
from pyfw.demo.terminal import Terminal
from pyfw.demo.transfer import Transfer
from pyfw.demo.web import PageLoad

SEED_BATCHES = [[1228, 834], [1031], [1228, 834], [1228, 1228, 637], [1228, 1228]]

needs_namespaces = [
    pytest.mark.netns,
    pytest.mark.skipif(unavailable() is not None, reason=f"no namespaces: {unavailable()}"),
]


class FakeTerminal(io.StringIO):
    """A stream that reports to be a terminal."""

    def isatty(self) -> bool:
        return True


def result(late: int = 0, received: str = "aa") -> DemoResult:
    """An example."""
    direction = DirectionResult(
        transfer=Transfer(1 << 30, 1.0, "aa", received),
        late=late,
        out_of_order=0,
        retransmitted=0,
        segments=786_000,
        gso=GsoBatches(20_000, 786_000, (1, 0, 0, 0, 0, 0, 20, 0)),
    )
    drops = {"outbound.no_route": 2, "tun_queue": 7}
    page = PageLoad(36, 4_000_000, 0.05, sha256_equal=True)
    return DemoResult(2.0, "nginx", page, direction, direction, drops, {}, SEED_BATCHES, [])


def test_text_has_the_results() -> None:
    text = result().as_text(Terminal(io.StringIO()))
    assert "8.59 Gbit/s" in text
    assert "[1228 834] [1031] [1228 834] [1228 1228 637] [1228 1228]" in text
    assert "20,000 of 39.3" in text
    assert re.search(r"client dropped +outbound.no_route 2, tun_queue 7\n", text)
    assert re.search(r"gateway dropped +none\n", text)


def test_late_counter_or_wrong_digest_fails() -> None:
    assert result().passed
    assert not result(late=1).passed
    assert not result(received="bb").passed


def test_json_has_the_same_keys_both_ways() -> None:
    document = json.loads(json.dumps(result().as_json()))
    assert document["up"].keys() == document["down"].keys()
    assert {"late", "out_of_order", "sha256_equal"} <= document["up"].keys()


def test_colour_needs_a_terminal_without_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[" in result().as_text(Terminal(FakeTerminal()))
    assert "\x1b[" not in result().as_text(Terminal(io.StringIO()))
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[" not in result().as_text(Terminal(FakeTerminal()))


def test_columns_align_with_and_without_colour(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    plain = result().as_text(Terminal(io.StringIO()))
    coloured = result().as_text(Terminal(FakeTerminal()))
    for code in ("\x1b[0m", "\x1b[1m", "\x1b[2m", "\x1b[32m", "\x1b[1;31m"):
        coloured = coloured.replace(code, "")
    assert [line.rstrip() for line in coloured.splitlines()] == plain.splitlines()


def test_progress_needs_a_terminal() -> None:
    file, terminal = io.StringIO(), FakeTerminal()
    for stream in (file, terminal):
        Terminal(stream).progress("1024 MiB up", 0.5)
    assert file.getvalue() == ""
    assert "50%" in terminal.getvalue()


class TestInNamespaces:
    """The demo with smaller transfers."""

    pytestmark = needs_namespaces

    def test_demo_transfers_in_order(self) -> None:
        done = subprocess.run(
            [*demo(), "--json", "--mib", "64"], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        document = json.loads(done.stdout)
        for direction in ("up", "down"):
            assert document[direction]["sha256_equal"] is True
            assert document[direction]["late"] == 0
            assert document[direction]["out_of_order"] == 0
        assert document["seed_batches"] == SEED_BATCHES
        assert document["page"]["resources"] >= 30

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
    def test_interrupted_demo_leaves_nothing_behind(self, number: signal.Signals) -> None:
        with subprocess.Popen(
            demo(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as running:
            assert running.stdout is not None
            assert any(line.startswith("1024 MiB up") for line in running.stdout)
            started = all_processes(running.pid)
            running.send_signal(number)
            _, stderr = running.communicate(timeout=30)
        if number == signal.SIGKILL:
            assert running.returncode == -signal.SIGKILL
        else:
            assert (running.returncode, stderr) == (
                128 + number,
                "interrupted; nothing is left behind\n",
            )
        deadline = time.monotonic() + 5
        while any(is_running(pid) for pid in started):
            assert time.monotonic() < deadline
            time.sleep(0.01)


def demo() -> list[str]:
    return [sys.executable, "-c", "from pyfw.cli import main; main()", "demo"]


def all_processes(pid: int) -> list[int]:
    """Returns the demo's processes once a transfer runs."""
    # The holders of three namespaces, two daemons, a web server, both ends of a transfer.
    needed = 3 + 2 + 1 + 2
    deadline = time.monotonic() + 5
    while len(found := descendants(pid)) < needed:
        assert time.monotonic() < deadline, found
        time.sleep(0.002)
    return found


def descendants(pid: int) -> list[int]:
    """Returns all descendants of a process."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in children] + [
        one for child in children for one in descendants(int(child))
    ]


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except (ProcessLookupError, FileNotFoundError):
        return False
