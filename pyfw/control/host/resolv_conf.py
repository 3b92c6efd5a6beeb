"""/etc/resolv.conf where nobody manages it: the newest tunnel's servers in, what stood there back at the end.

What stood there is kept in /run/pyfw, with the tunnels that took its place, in the order they came: so they
may end in any order, and what a killed daemon left is found. It stands in the file as well, behind `#|`, for
a machine that lost power. What somebody else has written meanwhile stays.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import msgspec

from pyfw.control.host import undo_log
from pyfw.control.host.locked_file import LockedFile

PATH = Path("/etc/resolv.conf")

_HEADER = "# By pyfw, while %s is up. What stood here is kept, and comes back.\n"
_KEPT, _KEPT_LINK = "#| ", "#-> "
# Whatever the bytes are, they come back.
_BYTES = "latin-1"


class _Before(msgspec.Struct, frozen=True):
    """What has to come back."""

    content: str | None = None
    """None: there was no file."""
    link: str | None = None
    """Where it led, if it was a symbolic link."""


class _Layer(msgspec.Struct):
    """What one tunnel asks for."""

    name: str
    lines: str


class _State(msgspec.Struct):
    """What has to come back, and what took its place, oldest first."""

    before: _Before = _Before()
    layers: list[_Layer] = msgspec.field(default_factory=list)

    def text(self) -> str:
        """What stands in the file, as long as there are layers."""
        newest = self.layers[-1]
        text = _HEADER % newest.name + newest.lines
        if self.before.link is not None:
            return text + f"{_KEPT_LINK}{self.before.link}\n"
        lines = (self.before.content or "").split("\n")
        return text + "\n".join(_KEPT + line for line in lines) + "\n"


class _Kept:
    """The state on disk, held by us; a context manager."""

    def __init__(self) -> None:
        file = LockedFile.claim(undo_log.DIRECTORY / f"resolv.conf-{_place()}", wait=True)
        assert file is not None
        self._file = file
        line = file.read()
        self.state = msgspec.json.decode(line, type=_State) if line else _State()

    def keep(self) -> None:
        """Before the file changes, so that it can be found what it was."""
        if self.state.layers:
            self._file.write(msgspec.json.encode(self.state))
        else:
            self._file.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._file.release()


def add(name: str, servers: Sequence[str], domains: Sequence[str]) -> None:
    """Puts a tunnel's servers in place of what is there. Raises OSError."""
    lines = "".join(f"nameserver {server}\n" for server in servers)
    if domains:
        lines += f"search {' '.join(domains)}\n"
    with _Kept() as kept:
        state = kept.state
        if not _is_ours(state):
            state.before = _before_power_was_lost() or _now()
        state.layers = [layer for layer in state.layers if layer.name != name]
        state.layers.append(_Layer(name, lines))
        kept.keep()
        _write(state.text())


def remove(name: str) -> bool:
    """Takes a tunnel's servers out again. False where somebody else has written the file. Raises OSError."""
    with _Kept() as kept:
        state = kept.state
        if all(layer.name != name for layer in state.layers):
            return True
        ours = _is_ours(state)
        # Killed before it was written, or after it was put back.
        untouched = ours or _now() == state.before
        state.layers = [layer for layer in state.layers if layer.name != name]
        if not ours:
            kept.keep()
        elif state.layers:
            kept.keep()
            _write(state.text())
        else:
            _restore(state.before)
            kept.keep()
        return untouched


def recover() -> bool:
    """Puts back what stood there before the machine lost power. Returns whether there was something."""
    with _Kept() as kept:
        before = None if kept.state.layers else _before_power_was_lost()
        if before is not None:
            _restore(before)
        return before is not None


def _place() -> str:
    """Names the file for all who see it, whichever way: each `ip netns exec` may mount one of its own."""
    status = (PATH if _is_mounted() else PATH.parent).stat()
    return f"{status.st_dev}:{status.st_ino}"


def _is_mounted() -> bool:
    # proc_pid_mountinfo(5): the fifth field is the mount point.
    mounts = Path("/proc/self/mountinfo").read_text(errors="replace").splitlines()
    return any(mount.split()[4] == str(PATH) for mount in mounts)


def _is_ours(state: _State) -> bool:
    return bool(state.layers) and _now() == _Before(state.text())


def _now() -> _Before:
    try:
        content = PATH.read_bytes().decode(_BYTES)
    except FileNotFoundError:
        content = None
    return _Before(content, str(PATH.readlink()) if PATH.is_symlink() else None)


def _before_power_was_lost() -> _Before | None:
    """What a file of ours says of what it replaced; None where it is no file of ours."""
    lines = (_now().content or "").split("\n")
    first, last = (_HEADER % "\0").strip().split("\0")
    if not (lines[0].startswith(first) and lines[0].endswith(last)):
        return None
    for line in lines:
        if line.startswith(_KEPT_LINK):
            return _Before(None, line.removeprefix(_KEPT_LINK))
    kept = [line.removeprefix(_KEPT) for line in lines if line.startswith(_KEPT)]
    return _Before("\n".join(kept) if any(kept) else None)


def _restore(before: _Before) -> None:
    if before.link is not None:
        PATH.unlink(missing_ok=True)
        PATH.symlink_to(before.link)
    elif before.content is None:
        PATH.unlink(missing_ok=True)
    else:
        _write(before.content)


def _write(content: str) -> None:
    """In one step, and in place of a symbolic link; where the file is mounted, into it."""
    raw = content.encode(_BYTES)
    if _is_mounted():
        PATH.write_bytes(raw)
        return
    mode = PATH.stat().st_mode & 0o7777 if PATH.is_file() and not PATH.is_symlink() else 0o644
    temporary = PATH.with_name(f".{PATH.name}.pyfw")
    try:
        temporary.write_bytes(raw)
        temporary.chmod(mode)
        temporary.replace(PATH)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
