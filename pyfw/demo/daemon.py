"""WireGuard daemons as processes: pyfw or a foreign one, started the same way.

Whatever speaks the command line of wireguard.com/xplatform and answers `wg` fits; `pyfw run` is one
exception, since it takes a wg-quick file, and what says that it is ready, instead of answering `wg`,
is the other.
"""

import json
import shutil
import socket
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from pyfw.demo.namespace import Namespace, Unavailable

INTERFACE = "wg0"
CONF = f"/run/{INTERFACE}.conf"
# -P: the pyfw that is installed beside this Python, not one in the current directory.
_FLOOR = (sys.executable, "-P", "-m", "bench.baseline")


@dataclass(frozen=True)
class Implementation:
    """How a daemon is started."""

    name: str
    command: tuple[str, ...]
    # With `wg setconf` after the start; without, the command takes CONF, a wg-quick file.
    by_setconf: bool = True
    environment: Mapping[str, str] = field(default_factory=dict)
    # What goes into wg0.pyfw.toml beside the wg-quick file.
    settings: str = ""
    # Whether `wg setconf` may change what it was set to before.
    takes_changes: bool = True
    # Whether a keepalive counts in what `wg` shows as received.
    counts_keepalives: bool = True
    # What it writes once it is up, if it does not answer `wg`.
    says_ready: str = ""

    def start(self, at: Namespace, conf: str) -> "Daemon":
        """Starts it in a machine, for a wg-quick file."""
        return Daemon(at, self, conf)

    @property
    def is_pyfw(self) -> bool:
        """Whether its own counters can be read."""
        return self.name.startswith("pyfw")


def pyfw_wg(**environment: str) -> Implementation:
    """Pyfw behind wireguard-go's command line. Raises Unavailable."""
    command = (_pyfw("pyfw-wg"), "--foreground", INTERFACE)
    return Implementation("pyfw", command, environment=environment)


def pyfw_run(settings: str = "", **environment: str) -> Implementation:
    """Pyfw with a wg-quick file and what WireGuard does not know beside it. Raises Unavailable."""
    command = (_pyfw("pyfw"), "run", CONF)
    return Implementation(
        "pyfw run", command, by_setconf=False, environment=environment, settings=settings
    )


def without_cipher() -> Implementation:
    """Pyfw with its cipher off (bench.baseline), to be measured and nothing else."""
    return Implementation(
        "pyfw without cipher", (*_FLOOR, "without-cipher", CONF), by_setconf=False
    )


def bare() -> Implementation:
    """TUN to UDP and back with nothing between (bench.baseline)."""
    command = (*_FLOOR, "bare", CONF)
    return Implementation("TUN to UDP alone", command, by_setconf=False, says_ready="up\n")


def _pyfw(script: str) -> str:
    beside = Path(sys.executable).with_name(script)
    found = str(beside) if beside.exists() else shutil.which(script)
    if found is None:
        raise Unavailable(f"{script} is not installed: make setup")
    return found


class Daemon:
    """A daemon in one of the lab's machines; `wait_until_up` before it is used."""

    def __init__(self, at: Namespace, implementation: Implementation, conf: str) -> None:
        """Starts it. `conf` is a wg-quick file."""
        self.at = at
        self.implementation = implementation
        self._conf = conf
        at.write(CONF, conf)
        if implementation.settings:
            at.write(f"/run/{INTERFACE}.pyfw.toml", implementation.settings)
        self.process = at.start(*implementation.command, environment=implementation.environment)

    def wait_until_up(self) -> Self:
        """Returns once it is up: it answers `wg`, and its interface has its addresses and routes."""
        if self.implementation.says_ready:
            self.process.wait_for(self.implementation.says_ready)
            self._set_link(self._conf)
            return self
        self._wait_for_socket()
        if self.implementation.by_setconf:
            self.set_conf(self._conf)
        else:
            # It answers before it is up: hooks speak to it.
            self.process.wait_for('"message":"tunnel.started"', 10)
        return self

    def set_conf(self, conf: str) -> None:
        """Gives it a configuration by `wg setconf`, and the interface its addresses and routes."""
        self.at.write(CONF, plain(conf))
        self.wg("setconf", INTERFACE, CONF)
        self._set_link(conf)

    def _set_link(self, conf: str) -> None:
        self.at.ip("link", "set", INTERFACE, "mtu", values(conf, "MTU")[0], "up")
        for address in values(conf, "Address"):
            self.at.ip("address", "replace", address, "dev", INTERFACE)
        for network in values(conf, "AllowedIPs"):
            family = "-6" if ":" in network else "-4"
            self.at.ip(family, "route", "replace", network, "dev", INTERFACE)

    def wg(self, *arguments: str) -> str:
        """`wg ARGUMENTS`, in its machine."""
        return self.at.run("wg", *arguments).stdout

    def counters(self) -> dict[str, Any]:
        """What pyfw counted: outbound, inbound, datagrams, gso (see pyfw.Tunnel.counters)."""
        counters: dict[str, Any] = self._details()["counters"]
        return counters

    def facts(self) -> dict[str, Any]:
        """What is in force in pyfw: cipher, threads, offloads."""
        facts: dict[str, Any] = self._details()["facts"]
        return facts

    def stop(self) -> int:
        """Ends it and returns its exit status."""
        return self.process.stop()

    def _details(self) -> dict[str, Any]:
        return details(self.at, INTERFACE)

    def _wait_for_socket(self) -> None:
        deadline = time.monotonic() + 10
        while not self._answers():
            if self.process.returncode is not None or time.monotonic() > deadline:
                words = self.process.output().strip() or "said nothing"
                raise RuntimeError(f"{self.implementation.name} did not come up: {words}")
            time.sleep(0.01)

    def _answers(self) -> bool:
        # `wg` takes a socket away that nobody listens on, also where somebody is about to.
        with socket.socket(socket.AF_UNIX) as asking:
            try:
                asking.connect(str(_socket(self.at, INTERFACE)))
            except OSError:
                return False
        return self.at.run("wg", "show", INTERFACE, "public-key", check=False).returncode == 0


def plain(conf: str) -> str:
    """A wg-quick file as `wg setconf` wants it: without the keys that only wg-quick knows."""
    return "\n".join(
        line
        for line in conf.splitlines()
        if line.partition("=")[0].strip() not in ("Address", "MTU")
    )


def values(conf: str, key: str) -> list[str]:
    """All values of a key of a wg-quick file, those in a list apart."""
    found = []
    for line in conf.splitlines():
        name, _, value = line.partition("=")
        if name.strip() == key:
            found += [one.strip() for one in value.split(",")]
    return found


def details(at: Namespace, interface: str) -> dict[str, Any]:
    """What a pyfw tells of a tunnel there: process id, counters and facts. Raises RuntimeError, OSError.

    As `pyfw show --json` asks, but without the tenth of a second that a command takes to start.
    """
    with socket.socket(socket.AF_UNIX) as asking, asking.makefile("rw") as stream:
        asking.settimeout(15)
        asking.connect(str(_socket(at, interface)))
        stream.write("pyfw=1\n\n")
        stream.flush()
        for line in stream:
            if line.startswith("json="):
                told: dict[str, Any] = json.loads(line.removeprefix("json="))
                return told
    raise RuntimeError(f"{at.name}: {interface} does not tell its counters")


def _socket(at: Namespace, interface: str) -> Path:
    return at.path(f"/run/wireguard/{interface}.sock")
