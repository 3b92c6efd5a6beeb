"""Name servers by whoever owns them: how each is found, and what each is told. All commands are stand-ins."""

import asyncio
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from pyfw.control.host import dns, resolv_conf, undo_log
from pyfw.control.host.step_reporter import StepReporter

ENTRIES = ("10.0.0.53", "corp.example", "fd00::53", "lan")
_STAND_IN = """#!/bin/sh
{ echo "$(basename "$0") $*"; cat; } >> "%s"
%s
"""


class Place:
    """A machine's resolv.conf and commands, all of the test's own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.resolv_conf = directory / "resolv.conf"
        self.bin = directory / "bin"
        self.bin.mkdir()
        self.log = directory / "log"

    def install(self, command: str, then: str = "") -> Path:
        """Puts a command on the PATH that writes down what it is told."""
        path = self.bin / command
        path.write_text(_STAND_IN % (self.log, then))
        path.chmod(0o755)
        return path

    def told(self) -> list[str]:
        """What the commands were told, on their lines and standard input."""
        return self.log.read_text().splitlines() if self.log.exists() else []


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Place:
    place = Place(tmp_path)
    monkeypatch.setattr(resolv_conf, "PATH", place.resolv_conf)
    monkeypatch.setattr(undo_log, "DIRECTORY", tmp_path / "pyfw")
    monkeypatch.setattr(dns, "_INTERFACE_ORDER", tmp_path / "interface-order")
    monkeypatch.setenv("PATH", f"{place.bin}:/usr/bin:/bin")
    found = shutil.which
    # Not what this machine has installed.
    monkeypatch.setattr(shutil, "which", lambda command: found(command, path=str(place.bin)))
    return place


def set_and_unset(entries: Sequence[str], backend: str, name: str = "lo") -> None:
    async def run() -> None:
        echo = StepReporter(name, to_terminal=True)
        await dns.set_(name, entries, backend, echo)
        await dns.unset(name, backend, echo)

    asyncio.run(run())


def test_what_is_no_address_is_a_search_domain() -> None:
    assert dns.split(ENTRIES) == (["10.0.0.53", "fd00::53"], ["corp.example", "lan"])


def test_resolvconf_comes_first_where_it_is_one(place: Place) -> None:
    assert dns.found() == "file"
    place.install("busctl")
    place.resolv_conf.write_text("nameserver 127.0.0.53\n")
    assert dns.found() == "resolved"
    place.install("resolvconf")
    assert dns.found() == "resolvconf"


def test_resolvconf_that_is_systemds_own_is_not_asked(place: Place) -> None:
    place.install("resolvectl")
    (place.bin / "resolvconf").symlink_to("resolvectl")
    assert dns.found() == "file"
    place.install("busctl")
    place.resolv_conf.write_text("# stub\noptions edns0\nnameserver 127.0.0.54\n")
    assert dns.found() == "resolved"


def test_systemd_resolved_is_asked_only_where_resolv_conf_leads_to_it(place: Place) -> None:
    place.install("busctl")
    place.resolv_conf.write_text("nameserver 192.0.2.1\n# nameserver 127.0.0.53\n")
    assert dns.found() == "file"
    place.resolv_conf.unlink()
    place.resolv_conf.symlink_to("/run/systemd/resolve/resolv.conf")
    assert dns.found() == "resolved"
    place.resolv_conf.unlink()
    assert dns.found() == "file"


def test_resolvconf_is_told_as_wg_quick_tells_it(place: Place) -> None:
    place.install("resolvconf")
    set_and_unset(ENTRIES, "resolvconf")
    assert place.told() == [
        "resolvconf -a lo -m 0 -x",
        "nameserver 10.0.0.53",
        "nameserver fd00::53",
        "search corp.example lan",
        "resolvconf -d lo -f",
    ]


def test_debians_resolvconf_gets_a_name_that_it_puts_first(place: Place) -> None:
    (place.directory / "interface-order").write_text("# lo first\nlo.inet6\n[0-9]*\ntun*\neth*\n")
    place.install("resolvconf")
    set_and_unset(["10.0.0.53"], "resolvconf")
    assert [line for line in place.told() if "resolvconf" in line] == [
        "resolvconf -a tun.lo -m 0 -x",
        "resolvconf -d tun.lo -f",
    ]


def test_systemd_resolved_gets_servers_domains_and_every_name(place: Place) -> None:
    place.install("busctl")
    set_and_unset(ENTRIES, "resolved")
    manager = (
        "busctl call org.freedesktop.resolve1 /org/freedesktop/resolve1 "
        "org.freedesktop.resolve1.Manager "
    )
    assert all(line.startswith(manager) for line in place.told())
    v6 = "10 16 253 0 0 0 0 0 0 0 0 0 0 0 0 0 0 83"
    # The loopback's index is 1.
    assert [line.removeprefix(manager) for line in place.told()] == [
        f"SetLinkDNS ia(iay) 1 2 2 4 10 0 0 53 {v6}",
        "SetLinkDomains ia(sb) 1 3 corp.example false lan false . true",
        "SetLinkDefaultRoute ib 1 true",
        "RevertLink i 1",
    ]


def test_what_went_with_its_link_is_not_taken_back_again(place: Place) -> None:
    place.install("busctl")
    asyncio.run(dns.unset("no-such-link", "resolved", StepReporter("x", to_terminal=True)))
    assert place.told() == []


def test_what_the_command_refuses_is_told_in_its_words(place: Place) -> None:
    place.install("resolvconf", "echo 'no such\n interface' >&2; exit 3")
    with pytest.raises(OSError, match="resolvconf: no such interface"):
        set_and_unset(["10.0.0.53"], "resolvconf")
    place.install("resolvconf", "exit 3")
    with pytest.raises(OSError, match="resolvconf: exit 3"):
        set_and_unset(["10.0.0.53"], "resolvconf")


def test_the_file_is_written_where_nobody_owns_it_and_a_stranger_is_told_of(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    place.resolv_conf.write_text("nameserver 192.0.2.1\n")
    set_and_unset(ENTRIES, "file")
    assert place.resolv_conf.read_text() == "nameserver 192.0.2.1\n"
    assert "[!]" not in capsys.readouterr().err

    async def with_a_stranger() -> None:
        echo = StepReporter("wg0", to_terminal=True)
        await dns.set_("wg0", ENTRIES, "file", echo)
        place.resolv_conf.write_text("nameserver 198.51.100.1\n")
        await dns.unset("wg0", "file", echo)

    asyncio.run(with_a_stranger())
    assert place.resolv_conf.read_text() == "nameserver 198.51.100.1\n"
    assert "was changed by somebody else, and stays" in capsys.readouterr().err
