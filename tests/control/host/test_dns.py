"""dns: detection of the backends, and the commands they run. All commands are stand-ins."""

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


class FakeHost:
    """A resolv.conf and commands of the test's own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.resolv_conf = directory / "resolv.conf"
        self.bin = directory / "bin"
        self.bin.mkdir()
        self.log = directory / "log"

    def install(self, command: str, then: str = "") -> Path:
        """Puts a command on the PATH that logs its arguments and standard input."""
        path = self.bin / command
        path.write_text(_STAND_IN % (self.log, then))
        path.chmod(0o755)
        return path

    def logged(self) -> list[str]:
        """Returns the lines logged by the commands."""
        return self.log.read_text().splitlines() if self.log.exists() else []


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeHost:
    host = FakeHost(tmp_path)
    monkeypatch.setattr(resolv_conf, "PATH", host.resolv_conf)
    monkeypatch.setattr(undo_log, "DIRECTORY", tmp_path / "pyfw")
    monkeypatch.setattr(dns, "_INTERFACE_ORDER", tmp_path / "interface-order")
    monkeypatch.setenv("PATH", f"{host.bin}:/usr/bin:/bin")
    which = shutil.which
    # Without the commands of this machine.
    monkeypatch.setattr(shutil, "which", lambda command: which(command, path=str(host.bin)))
    return host


def set_and_unset(entries: Sequence[str], backend: str, name: str = "lo") -> None:
    async def run() -> None:
        steps = StepReporter(name, to_terminal=True)
        await dns.set_(name, entries, backend, steps)
        await dns.unset(name, backend, steps)

    asyncio.run(run())


def test_entries_that_are_no_addresses_are_domains() -> None:
    assert dns.split(ENTRIES) == (["10.0.0.53", "fd00::53"], ["corp.example", "lan"])


def test_resolvconf_is_preferred(host: FakeHost) -> None:
    assert dns.detect_backend() == "file"
    host.install("busctl")
    host.resolv_conf.write_text("nameserver 127.0.0.53\n")
    assert dns.detect_backend() == "resolved"
    host.install("resolvconf")
    assert dns.detect_backend() == "resolvconf"


def test_a_resolvconf_of_systemd_is_not_used(host: FakeHost) -> None:
    host.install("resolvectl")
    (host.bin / "resolvconf").symlink_to("resolvectl")
    assert dns.detect_backend() == "file"
    host.install("busctl")
    host.resolv_conf.write_text("# stub\noptions edns0\nnameserver 127.0.0.54\n")
    assert dns.detect_backend() == "resolved"


def test_resolved_is_used_only_if_resolv_conf_leads_to_it(host: FakeHost) -> None:
    host.install("busctl")
    host.resolv_conf.write_text("nameserver 192.0.2.1\n# nameserver 127.0.0.53\n")
    assert dns.detect_backend() == "file"
    host.resolv_conf.unlink()
    host.resolv_conf.symlink_to("/run/systemd/resolve/resolv.conf")
    assert dns.detect_backend() == "resolved"
    host.resolv_conf.unlink()
    assert dns.detect_backend() == "file"


def test_resolvconf_is_called_as_by_wg_quick(host: FakeHost) -> None:
    host.install("resolvconf")
    set_and_unset(ENTRIES, "resolvconf")
    assert host.logged() == [
        "resolvconf -a lo -m 0 -x",
        "nameserver 10.0.0.53",
        "nameserver fd00::53",
        "search corp.example lan",
        "resolvconf -d lo -f",
    ]


def test_debians_resolvconf_gets_a_name_that_sorts_first(host: FakeHost) -> None:
    (host.directory / "interface-order").write_text("# lo first\nlo.inet6\n[0-9]*\ntun*\neth*\n")
    host.install("resolvconf")
    set_and_unset(["10.0.0.53"], "resolvconf")
    assert [line for line in host.logged() if "resolvconf" in line] == [
        "resolvconf -a tun.lo -m 0 -x",
        "resolvconf -d tun.lo -f",
    ]


def test_resolved_gets_servers_and_domains(host: FakeHost) -> None:
    host.install("busctl")
    set_and_unset(ENTRIES, "resolved")
    manager = (
        "busctl call org.freedesktop.resolve1 /org/freedesktop/resolve1 "
        "org.freedesktop.resolve1.Manager "
    )
    assert all(line.startswith(manager) for line in host.logged())
    v6 = "10 16 253 0 0 0 0 0 0 0 0 0 0 0 0 0 0 83"
    # The loopback's index is 1.
    assert [line.removeprefix(manager) for line in host.logged()] == [
        f"SetLinkDNS ia(iay) 1 2 2 4 10 0 0 53 {v6}",
        "SetLinkDomains ia(sb) 1 3 corp.example false lan false . true",
        "SetLinkDefaultRoute ib 1 true",
        "RevertLink i 1",
    ]


def test_settings_of_a_deleted_link_are_not_reverted(host: FakeHost) -> None:
    host.install("busctl")
    asyncio.run(dns.unset("no-such-link", "resolved", StepReporter("x", to_terminal=True)))
    assert host.logged() == []


def test_errors_have_the_message_of_the_command(host: FakeHost) -> None:
    host.install("resolvconf", "echo 'no such\n interface' >&2; exit 3")
    with pytest.raises(OSError, match="resolvconf: no such interface"):
        set_and_unset(["10.0.0.53"], "resolvconf")
    host.install("resolvconf", "exit 3")
    with pytest.raises(OSError, match="resolvconf: exit 3"):
        set_and_unset(["10.0.0.53"], "resolvconf")


def test_the_file_is_restored_unless_another_program_wrote_it(
    host: FakeHost, capsys: pytest.CaptureFixture[str]
) -> None:
    host.resolv_conf.write_text("nameserver 192.0.2.1\n")
    set_and_unset(ENTRIES, "file")
    assert host.resolv_conf.read_text() == "nameserver 192.0.2.1\n"
    assert "[!]" not in capsys.readouterr().err

    async def with_another_writer() -> None:
        steps = StepReporter("wg0", to_terminal=True)
        await dns.set_("wg0", ENTRIES, "file", steps)
        host.resolv_conf.write_text("nameserver 198.51.100.1\n")
        await dns.unset("wg0", "file", steps)

    asyncio.run(with_another_writer())
    assert host.resolv_conf.read_text() == "nameserver 198.51.100.1\n"
    assert "was changed by another program and is left as it is" in capsys.readouterr().err
