"""`pyfw demo`: what it prints, and that it leaves nothing behind."""

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

from lab import unavailable
from pyfw.demo.counter_checks import GsoBatches
from pyfw.demo.report import Account, Direction
from pyfw.demo.terminal import Terminal
from pyfw.demo.transfer import Transfer
from pyfw.demo.web import PageLoad

SEED_BATCHES = [[1228, 834], [1031], [1228, 834], [1228, 1228, 637], [1228, 1228]]

needs_namespaces = [
    pytest.mark.netns,
    pytest.mark.skipif(unavailable() is not None, reason=f"no namespaces: {unavailable()}"),
]


class Screen(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def account(late: int = 0, received: str = "aa") -> Account:
    """What a demo could have found."""
    way = Direction(
        transfer=Transfer(1 << 30, 1.0, "aa", received),
        late=late,
        out_of_order=0,
        retransmitted=0,
        segments=786_000,
        gso=GsoBatches(20_000, 786_000, (1, 0, 0, 0, 0, 0, 20, 0)),
    )
    drops = {"outbound.no_route": 2, "tun_queue": 7}
    page = PageLoad(36, 4_000_000, 0.05, sha256_equal=True)
    return Account(2.0, "nginx", page, way, way, drops, {}, SEED_BATCHES, [])


def test_an_account_names_what_matters() -> None:
    text = account().as_text(Terminal(io.StringIO()))
    assert "8.59 Gbit/s" in text
    assert "[1228 834] [1031] [1228 834] [1228 1228 637] [1228 1228]" in text
    assert "20,000 of 39.3" in text
    assert re.search(r"client dropped +outbound.no_route 2, tun_queue 7\n", text)
    assert re.search(r"gateway dropped +none\n", text)


def test_one_late_counter_or_a_wrong_digest_is_a_failure() -> None:
    assert account().good
    assert not account(late=1).good
    assert not account(received="bb").good


def test_json_has_the_same_keys_both_ways() -> None:
    document = json.loads(json.dumps(account().as_json()))
    assert document["up"].keys() == document["down"].keys()
    assert {"late", "out_of_order", "sha256_equal"} <= document["up"].keys()


def test_colour_is_for_terminals_that_want_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[" in account().as_text(Terminal(Screen()))
    assert "\x1b[" not in account().as_text(Terminal(io.StringIO()))
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[" not in account().as_text(Terminal(Screen()))


def test_columns_stand_under_each_other_with_colour_and_without(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    plain = account().as_text(Terminal(io.StringIO()))
    coloured = account().as_text(Terminal(Screen()))
    for code in ("\x1b[0m", "\x1b[1m", "\x1b[2m", "\x1b[32m", "\x1b[1;31m"):
        coloured = coloured.replace(code, "")
    assert [line.rstrip() for line in coloured.splitlines()] == plain.splitlines()


def test_progress_is_for_terminals() -> None:
    file, screen = io.StringIO(), Screen()
    for stream in (file, screen):
        Terminal(stream).progress("1024 MiB up", 0.5)
    assert file.getvalue() == ""
    assert "50%" in screen.getvalue()


class TestInNamespaces:
    """The demo itself, with less to move."""

    pytestmark = needs_namespaces

    def test_the_demo_moves_everything_in_order_and_says_so(self) -> None:
        done = subprocess.run(
            [*demo(), "--json", "--mib", "128"], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        document = json.loads(done.stdout)
        for way in ("up", "down"):
            assert document[way]["sha256_equal"] is True
            assert document[way]["late"] == 0
            assert document[way]["out_of_order"] == 0
        assert document["seed_batches"] == SEED_BATCHES
        assert document["page"]["resources"] >= 30

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
    def test_an_interrupted_demo_leaves_nothing_behind(self, number: signal.Signals) -> None:
        with subprocess.Popen(
            demo(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as running:
            assert running.stdout is not None
            assert any(line.startswith("1024 MiB up") for line in running.stdout)
            began = all_processes(running.pid)
            running.send_signal(number)
            _, said = running.communicate(timeout=30)
        if number == signal.SIGKILL:
            assert running.returncode == -signal.SIGKILL
        else:
            assert (running.returncode, said) == (
                128 + number,
                "interrupted; nothing is left behind\n",
            )
        deadline = time.monotonic() + 5
        while any(runs(pid) for pid in began):
            assert time.monotonic() < deadline
            time.sleep(0.01)


def demo() -> list[str]:
    return [sys.executable, "-c", "from pyfw.cli import main; main()", "demo"]


def all_processes(pid: int) -> list[int]:
    """The demo's processes, once all run that a transfer needs."""
    # Who holds the three namespaces, two daemons, a web server, a transfer's two ends.
    needed = 3 + 2 + 1 + 2
    deadline = time.monotonic() + 5
    while len(found := descendants(pid)) < needed:
        assert time.monotonic() < deadline, found
        time.sleep(0.002)
    return found


def descendants(pid: int) -> list[int]:
    """The processes that a process has started, and theirs."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in children] + [
        one for child in children for one in descendants(int(child))
    ]


def runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except (ProcessLookupError, FileNotFoundError):
        return False
