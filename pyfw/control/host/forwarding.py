"""IP forwarding: on while a gateway needs it, and as it was when the last one has ended.

It is the network namespace's, not a tunnel's, so gateways share it: a file in /run/pyfw says who needs it,
and what there was before the first. In: the gateway's name, and IP versions. Out: switches in /proc/sys/net.
"""

from collections.abc import Collection
from pathlib import Path

import msgspec

from pyfw.control.host import undo_log
from pyfw.control.host.locked_file import LockedFile
from pyfw.control.host.step_reporter import StepReporter
from pyfw.control.host.undo_log import network_namespace

_NET = Path("/proc/sys/net")
_ON = {4: "ipv4/ip_forward", 6: "ipv6/conf/all/forwarding"}


class _Shared(msgspec.Struct):
    """Of one network namespace."""

    users: list[str] = []
    before: list[tuple[str, str]] = []
    """Switches below /proc/sys/net and what they were, in the order in which they are put back."""


def switch_on(name: str, versions: Collection[int], steps: StepReporter) -> None:
    """Lets packets pass from and to a gateway. Raises OSError where that cannot be set."""
    with _file() as file:
        shared = _read(file)
        here = shared.setdefault(network_namespace(), _Shared())
        if name not in here.users:
            here.users.append(name)
        wanted: list[tuple[str, str]] = []
        for version in sorted(versions):
            if _value(_ON[version]) != "1":
                here.before += _what_changes(version)
                wanted += [*_routers_advertised(version), (_ON[version], "1")]
        file.write(msgspec.json.encode(shared))
        for switch, value in wanted:
            steps.step(f"sysctl -w net.{_dotted(switch)}={value}")
            try:
                (_NET / switch).write_text(value)
            except OSError as error:
                text = f"a gateway needs net.{_dotted(switch)} = {value}, and it cannot be set"
                raise OSError(error.errno, f"{text}: {error.strerror}") from error


def switch_off(name: str, steps: StepReporter) -> None:
    """One gateway less. Raises OSError."""
    with _file() as file:
        shared = _read(file)
        here = shared.get(network_namespace())
        if here is None or name not in here.users:
            return
        here.users.remove(name)
        if not here.users:
            del shared[network_namespace()]
        if shared:
            file.write(msgspec.json.encode(shared))
        else:
            file.clear()
        if here.users:
            return
        for switch, value in here.before:
            if _value(switch) not in (value, None):
                steps.step(f"sysctl -w net.{_dotted(switch)}={value}")
                (_NET / switch).write_text(value)


def _what_changes(version: int) -> list[tuple[str, str]]:
    """What the kernel changes along with the switch (ip-sysctl.rst), beside the switch itself."""
    found = [(_ON[version], "0")]
    if version == 4:
        found.append(_now("ipv4/conf/all/accept_redirects"))
    family = f"ipv{version}/conf"
    # Turning it off turns it off everywhere; where it was on, it is put back.
    for switch in sorted((_NET / family).glob("*/forwarding")):
        interface = switch.parent.name
        if interface != "all" and switch.read_text().strip() == "1":
            found.append((f"{family}/{interface}/forwarding", "1"))
    found += [(switch, "1") for switch, _ in _routers_advertised(version)]
    return found


def _routers_advertised(version: int) -> list[tuple[str, str]]:
    # A host that forwards takes no default route from advertisements, and loses the one it has,
    # unless it is told to accept them all the same (ip-sysctl.rst, accept_ra).
    if version == 4:
        return []
    return [
        (f"ipv6/conf/{switch.parent.name}/accept_ra", "2")
        for switch in sorted((_NET / "ipv6/conf").glob("*/accept_ra"))
        if switch.parent.name not in ("all", "default") and switch.read_text().strip() == "1"
    ]


def _now(switch: str) -> tuple[str, str]:
    return switch, _value(switch) or "0"


def _value(switch: str) -> str | None:
    try:
        return (_NET / switch).read_text().strip()
    except FileNotFoundError:  # of an interface that is gone, or no IPv6 here
        return None


def _dotted(switch: str) -> str:
    # sysctl(8): where a name has dots of its own, they change places with slashes.
    return switch.replace(".", "\0").replace("/", ".").replace("\0", "/")


def _file() -> LockedFile:
    # No interface's record: those end in .json.
    file = LockedFile.claim(undo_log.DIRECTORY / "forwarding", wait=True)
    assert file is not None
    return file


def _read(file: LockedFile) -> dict[str, _Shared]:
    line = file.read()
    try:
        return msgspec.json.decode(line, type=dict[str, _Shared]) if line else {}
    except msgspec.DecodeError:
        return {}
