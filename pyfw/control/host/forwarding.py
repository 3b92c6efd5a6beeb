"""Enables IP forwarding while a gateway is up, and restores the previous state after the last one.

Forwarding belongs to the network namespace, so gateways share it: a file in /run/pyfw lists them, and the
settings that were in force before the first.
"""

from collections.abc import Collection
from pathlib import Path

import msgspec

from pyfw.control.host import undo_log
from pyfw.control.host.locked_file import LockedFile
from pyfw.control.host.step_reporter import StepReporter
from pyfw.control.host.undo_log import network_namespace

_NET = Path("/proc/sys/net")
_FORWARDING = {4: "ipv4/ip_forward", 6: "ipv6/conf/all/forwarding"}


class _NamespaceState(msgspec.Struct):
    """The state of one network namespace. Field names are those on disk."""

    users: list[str] = []
    before: list[tuple[str, str]] = []
    """Settings below /proc/sys/net with their previous values, in the order in which to restore them."""


def enable(name: str, versions: Collection[int], steps: StepReporter) -> None:
    """Enables forwarding of some IP versions for a gateway. Raises OSError."""
    with _claim() as file:
        states = _read(file)
        state = states.setdefault(network_namespace(), _NamespaceState())
        if name not in state.users:
            state.users.append(name)
        changes: list[tuple[str, str]] = []
        for version in sorted(versions):
            if _value(_FORWARDING[version]) != "1":
                state.before += _affected_settings(version)
                changes += [*_accept_ra_changes(version), (_FORWARDING[version], "1")]
        file.write(msgspec.json.encode(states))
        for setting, value in changes:
            steps.step(f"sysctl -w net.{_dotted(setting)}={value}")
            try:
                (_NET / setting).write_text(value)
            except OSError as error:
                text = f"a gateway needs net.{_dotted(setting)} = {value}, which cannot be set"
                raise OSError(error.errno, f"{text}: {error.strerror}") from error


def disable(name: str, steps: StepReporter) -> None:
    """Removes a gateway, and restores the settings after the last one. Raises OSError."""
    with _claim() as file:
        states = _read(file)
        state = states.get(network_namespace())
        if state is None or name not in state.users:
            return
        state.users.remove(name)
        if not state.users:
            del states[network_namespace()]
        if states:
            file.write(msgspec.json.encode(states))
        else:
            file.clear()
        if state.users:
            return
        for setting, value in state.before:
            if _value(setting) not in (value, None):
                steps.step(f"sysctl -w net.{_dotted(setting)}={value}")
                (_NET / setting).write_text(value)


def _affected_settings(version: int) -> list[tuple[str, str]]:
    """Returns the settings that change with forwarding (ip-sysctl.rst), with their present values."""
    found = [(_FORWARDING[version], "0")]
    if version == 4:
        redirects = "ipv4/conf/all/accept_redirects"
        found.append((redirects, _value(redirects) or "0"))
    family = f"ipv{version}/conf"
    # Disabling forwarding disables it on every interface.
    for setting in sorted((_NET / family).glob("*/forwarding")):
        interface = setting.parent.name
        if interface != "all" and setting.read_text().strip() == "1":
            found.append((f"{family}/{interface}/forwarding", "1"))
    found += [(setting, "1") for setting, _ in _accept_ra_changes(version)]
    return found


def _accept_ra_changes(version: int) -> list[tuple[str, str]]:
    # A host that forwards ignores router advertisements, and loses its default route, unless accept_ra
    # is 2 (ip-sysctl.rst).
    if version == 4:
        return []
    return [
        (f"ipv6/conf/{setting.parent.name}/accept_ra", "2")
        for setting in sorted((_NET / "ipv6/conf").glob("*/accept_ra"))
        if setting.parent.name not in ("all", "default") and setting.read_text().strip() == "1"
    ]


def _value(setting: str) -> str | None:
    try:
        return (_NET / setting).read_text().strip()
    except FileNotFoundError:  # the interface is gone, or there is no IPv6
        return None


def _dotted(setting: str) -> str:
    # sysctl(8): dots within a name are written as slashes.
    return setting.replace(".", "\0").replace("/", ".").replace("\0", "/")


def _claim() -> LockedFile:
    # Not *.json, which are the records of interfaces.
    file = LockedFile.claim(undo_log.DIRECTORY / "forwarding", wait=True)
    assert file is not None
    return file


def _read(file: LockedFile) -> dict[str, _NamespaceState]:
    line = file.read()
    try:
        return msgspec.json.decode(line, type=dict[str, _NamespaceState]) if line else {}
    except msgspec.DecodeError:
        return {}
