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
    """A socket like systemd's, and its name in NOTIFY_SOCKET."""
    name = str(tmp_path / "notify") if request.param == "path" else f"@pyfw-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(name.replace("@", "\0", 1))
        listener.settimeout(5)
        yield listener, name


def test_each_notification_is_one_datagram(manager: tuple[socket.socket, str]) -> None:
    listener, name = manager
    notifier = Notifier(name)
    notifier.ready("wg0: port 51820, 2 peers")
    assert listener.recv(4096) == b"READY=1\nSTATUS=wg0: port 51820, 2 peers"
    notifier.status("Resolving vpn.example:51820")
    assert listener.recv(4096) == b"STATUS=Resolving vpn.example:51820"
    notifier.stopping()
    assert listener.recv(4096).splitlines()[0] == b"STOPPING=1"


def test_a_reload_carries_its_time_on_the_monotonic_clock(
    manager: tuple[socket.socket, str],
) -> None:
    listener, name = manager
    before = time.monotonic_ns() // 1000
    Notifier(name).reloading()
    reloading, usec, _ = listener.recv(4096).decode().splitlines()
    assert reloading == "RELOADING=1"
    assert before <= int(usec.removeprefix("MONOTONIC_USEC=")) <= time.monotonic_ns() // 1000


def test_child_processes_do_not_inherit_the_socket() -> None:
    environment = {"NOTIFY_SOCKET": "/nowhere", "PATH": "/bin"}
    Notifier.from_environment(environment)
    assert environment == {"PATH": "/bin"}


def test_without_notify_socket_nothing_is_sent(capfd: pytest.CaptureFixture[str]) -> None:
    Notifier.from_environment({}).ready("")
    assert capfd.readouterr() == ("", "")


def test_a_missing_manager_is_logged_once(tmp_path: Path) -> None:
    output = io.StringIO()
    log.configure("info", output)
    notifier = Notifier(str(tmp_path / "nobody"))
    notifier.ready("up")
    notifier.stopping()
    assert output.getvalue().count("service.notify_failed") == 1


def test_a_manager_that_does_not_read_does_not_block(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        notifier = Notifier(str(tmp_path / "notify"))
        for _ in range(2000):  # more than net.unix.max_dgram_qlen
            notifier.status("x")
