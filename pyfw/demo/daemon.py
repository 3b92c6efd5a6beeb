"""Runs WireGuard daemons as processes: pyfw, or any other implementation.

A daemon that has the command line of wireguard.com/xplatform is configured with `wg setconf`; `pyfw run`
reads a wg-quick file instead.
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


@dataclass(frozen=True)
class Implementation:
    """How to start a daemon."""

    name: str
    command: tuple[str, ...]
    # Configured with `wg setconf` after the start. Otherwise the command reads CONF, a wg-quick file.
    by_setconf: bool = True
    environment: Mapping[str, str] = field(default_factory=dict)
    # The content of wg0.pyfw.toml, beside the wg-quick file.
    settings: str = ""

    def start(self, at: Namespace, conf: str) -> "Daemon":
        """Starts the daemon in a machine with a wg-quick file."""
        return Daemon(at, self, conf)

    @property
    def is_pyfw(self) -> bool:
        """Whether the daemon reports pyfw's counters."""
        return self.name.startswith("pyfw")


def pyfw_wg(**environment: str) -> Implementation:
    """Returns pyfw with wireguard-go's command line. Raises Unavailable."""
    command = (installed_command("pyfw-wg"), "--foreground", INTERFACE)
    return Implementation("pyfw", command, environment=environment)


def pyfw_run(settings: str = "", **environment: str) -> Implementation:
    """Returns `pyfw run` with these settings in wg0.pyfw.toml. Raises Unavailable."""
    command = (installed_command("pyfw"), "run", CONF)
    return Implementation(
        "pyfw run", command, by_setconf=False, environment=environment, settings=settings
    )


def installed_command(name: str) -> str:
    """Returns the path of one of pyfw's commands, installed beside this Python. Raises Unavailable."""
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        raise Unavailable(f"{name} is not installed: make setup")
    return found


class Daemon:
    """A daemon in a machine. Call `wait_until_up` before using its tunnel."""

    def __init__(self, at: Namespace, implementation: Implementation, conf: str) -> None:
        """Starts it. `conf` is the content of a wg-quick file."""
        self.at = at
        self.implementation = implementation
        self._conf = conf
        at.write(CONF, conf)
        if implementation.settings:
            at.write(f"/run/{INTERFACE}.pyfw.toml", implementation.settings)
        self.process = at.start(*implementation.command, environment=implementation.environment)

    def wait_until_up(self) -> Self:
        """Waits until the daemon answers `wg` and its interface has its addresses and routes."""
        self._wait_for_socket()
        if self.implementation.by_setconf:
            self.set_conf(self._conf)
        else:
            # The socket answers before the tunnel is up, as hooks may use it.
            self.process.wait_for('"message":"tunnel.started"', 10)
        return self

    def set_conf(self, conf: str) -> None:
        """Applies a wg-quick file: `wg setconf`, then the interface's addresses and routes."""
        self.at.write(CONF, setconf_text(conf))
        self.wg("setconf", INTERFACE, CONF)
        self.set_link(conf)

    def set_link(self, conf: str) -> None:
        """Gives the interface the MTU, addresses and routes of a wg-quick file."""
        self.at.ip("link", "set", INTERFACE, "mtu", conf_values(conf, "MTU")[0], "up")
        for address in conf_values(conf, "Address"):
            self.at.ip("address", "replace", address, "dev", INTERFACE)
        for network in conf_values(conf, "AllowedIPs"):
            family = "-6" if ":" in network else "-4"
            self.at.ip(family, "route", "replace", network, "dev", INTERFACE)

    def wg(self, *arguments: str) -> str:
        """Runs `wg ARGUMENTS` in the machine and returns the output."""
        return self.at.run("wg", *arguments).stdout

    def counters(self) -> dict[str, Any]:
        """Returns pyfw's counters: outbound, inbound, datagrams, gso (see pyfw.Tunnel.counters)."""
        counters: dict[str, Any] = self.details()["counters"]
        return counters

    def details(self) -> dict[str, Any]:
        """Returns what pyfw reports of its tunnel: process id, counters, facts."""
        return details(self.at, INTERFACE)

    def stop(self) -> int:
        """Stops the daemon and returns its exit status."""
        return self.process.stop()

    def _wait_for_socket(self) -> None:
        deadline = time.monotonic() + 10
        while not self._answers_wg():
            if self.process.returncode is not None or time.monotonic() > deadline:
                output = self.process.output().strip() or "no output"
                raise RuntimeError(f"{self.implementation.name} did not come up: {output}")
            time.sleep(0.01)

    def _answers_wg(self) -> bool:
        # `wg` deletes a socket on which nothing listens yet, so connect first.
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(_socket(self.at, INTERFACE)))
            except OSError:
                return False
        return self.at.run("wg", "show", INTERFACE, "public-key", check=False).returncode == 0


def setconf_text(conf: str) -> str:
    """Returns a wg-quick file without the keys that `wg setconf` rejects."""
    return "\n".join(
        line
        for line in conf.splitlines()
        if line.partition("=")[0].strip() not in ("Address", "MTU")
    )


def conf_values(conf: str, key: str) -> list[str]:
    """Returns all values of a key of a wg-quick file; lists are split."""
    found = []
    for line in conf.splitlines():
        name, _, value = line.partition("=")
        if name.strip() == key:
            found += [one.strip() for one in value.split(",")]
    return found


def details(at: Namespace, interface: str) -> dict[str, Any]:
    """Returns what pyfw reports of a tunnel: process id, counters, facts. Raises RuntimeError or OSError.

    The same request as `pyfw show --json`, without the tenth of a second that a command takes to start.
    """
    with socket.socket(socket.AF_UNIX) as client, client.makefile("rw") as stream:
        client.settimeout(15)
        client.connect(str(_socket(at, interface)))
        stream.write("pyfw=1\n\n")
        stream.flush()
        for line in stream:
            if line.startswith("json="):
                found: dict[str, Any] = json.loads(line.removeprefix("json="))
                return found
    raise RuntimeError(f"{at.name}: {interface} reports no counters")


def _socket(at: Namespace, interface: str) -> Path:
    return at.path(f"/run/wireguard/{interface}.sock")
