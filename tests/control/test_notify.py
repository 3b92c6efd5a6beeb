import io
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyfw.control.notify import Notifier
from pyfw.observe import log


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    """A socket like systemd's, and what NOTIFY_SOCKET would be."""
    name = str(tmp_path / "notify") if request.param == "path" else f"@pyfw-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(name.replace("@", "\0", 1))
        listening.settimeout(5)
        yield listening, name


def test_each_change_is_one_datagram(manager: tuple[socket.socket, str]) -> None:
    listening, name = manager
    notifier = Notifier(name)
    notifier.ready("wg0: port 51820, 2 peers")
    assert listening.recv(4096) == b"READY=1\nSTATUS=wg0: port 51820, 2 peers"
    notifier.status("Resolving vpn.example:51820")
    assert listening.recv(4096) == b"STATUS=Resolving vpn.example:51820"
    notifier.stopping()
    assert listening.recv(4096).splitlines()[0] == b"STOPPING=1"


def test_a_reload_says_when_it_began_in_microseconds_of_the_monotonic_clock(
    manager: tuple[socket.socket, str],
) -> None:
    listening, name = manager
    before = time.monotonic_ns() // 1000
    Notifier(name).reloading()
    reloading, usec, _ = listening.recv(4096).decode().splitlines()
    assert reloading == "RELOADING=1"
    assert before <= int(usec.removeprefix("MONOTONIC_USEC=")) <= time.monotonic_ns() // 1000


def test_children_do_not_inherit_the_socket() -> None:
    environment = {"NOTIFY_SOCKET": "/nowhere", "PATH": "/bin"}
    Notifier.from_environment(environment)
    assert environment == {"PATH": "/bin"}


def test_without_a_manager_nothing_is_said(capfd: pytest.CaptureFixture[str]) -> None:
    Notifier.from_environment({}).ready("")
    assert capfd.readouterr() == ("", "")


def test_a_manager_that_is_gone_is_told_of_once(
    tmp_path: Path,
) -> None:
    written = io.StringIO()
    log.configure("info", written)
    notifier = Notifier(str(tmp_path / "nobody"))
    notifier.ready("up")
    notifier.stopping()
    assert written.getvalue().count("service manager not told") == 1


def test_a_manager_that_reads_nothing_holds_up_nobody(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        notifier = Notifier(str(tmp_path / "notify"))
        for _ in range(2000):  # more than net.unix.max_dgram_qlen
            notifier.status("x")
