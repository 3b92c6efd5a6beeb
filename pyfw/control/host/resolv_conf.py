"""Replaces /etc/resolv.conf while tunnels are up, and restores the original.

The original and one override per tunnel are stored in /run/pyfw, so that tunnels may end in any order and
what a killed daemon left is found. The newest override is in the file, followed by the original in comments
(`#|`), for a machine that loses power. If another program writes the file meanwhile, its version stays.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import msgspec

from pyfw.control.host import undo_log
from pyfw.control.host.locked_file import LockedFile

PATH = Path("/etc/resolv.conf")

_HEADER = "# Written by pyfw while %s is up. The original follows, and is restored at the end.\n"
_CONTENT_PREFIX, _LINK_PREFIX = "#| ", "#-> "
# Decodes any bytes, and encodes them back unchanged.
_ENCODING = "latin-1"


class _Content(msgspec.Struct, frozen=True):
    """What is, or was, at PATH."""

    content: str | None = None
    """None: there is no file."""
    link: str | None = None
    """The target, if it is a symbolic link."""


class _Override(msgspec.Struct):
    """The lines of one tunnel."""

    name: str
    lines: str


class _State(msgspec.Struct):
    """The original, and the overrides from oldest to newest. Field names are those on disk."""

    before: _Content = _Content()
    layers: list[_Override] = msgspec.field(default_factory=list)

    def text(self) -> str:
        """Returns the content of the file while there are overrides."""
        newest = self.layers[-1]
        text = _HEADER % newest.name + newest.lines
        if self.before.link is not None:
            return text + f"{_LINK_PREFIX}{self.before.link}\n"
        lines = (self.before.content or "").split("\n")
        return text + "\n".join(_CONTENT_PREFIX + line for line in lines) + "\n"


class _StateFile:
    """The state on disk, locked while the context is entered."""

    def __init__(self) -> None:
        file = LockedFile.claim(undo_log.DIRECTORY / f"resolv.conf-{_identifier()}", wait=True)
        assert file is not None
        self._file = file
        line = file.read()
        self.state = msgspec.json.decode(line, type=_State) if line else _State()

    def save(self) -> None:
        """Writes the state; before PATH changes, so that the original is never lost."""
        if self.state.layers:
            self._file.write(msgspec.json.encode(self.state))
        else:
            self._file.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._file.release()


def add(name: str, servers: Sequence[str], domains: Sequence[str]) -> None:
    """Replaces the content with a tunnel's servers. Raises OSError."""
    lines = "".join(f"nameserver {server}\n" for server in servers)
    if domains:
        lines += f"search {' '.join(domains)}\n"
    with _StateFile() as file:
        state = file.state
        if not _is_ours(state):
            state.before = _original_in_file() or _read()
        state.layers = [layer for layer in state.layers if layer.name != name]
        state.layers.append(_Override(name, lines))
        file.save()
        _write(state.text())


def remove(name: str) -> bool:
    """Removes a tunnel's servers. Returns False if another program has written the file. Raises OSError."""
    with _StateFile() as file:
        state = file.state
        if all(layer.name != name for layer in state.layers):
            return True
        ours = _is_ours(state)
        # Or killed before PATH was written, or after it was restored.
        untouched = ours or _read() == state.before
        state.layers = [layer for layer in state.layers if layer.name != name]
        if not ours:
            file.save()
        elif state.layers:
            file.save()
            _write(state.text())
        else:
            _restore(state.before)
            file.save()
        return untouched


def recover() -> bool:
    """Restores the original after a power failure. Returns whether there was one."""
    with _StateFile() as file:
        original = None if file.state.layers else _original_in_file()
        if original is not None:
            _restore(original)
        return original is not None


def _identifier() -> str:
    """Identifies the file across mount namespaces: each `ip netns exec` may mount one of its own."""
    status = (PATH if _is_mounted() else PATH.parent).stat()
    return f"{status.st_dev}:{status.st_ino}"


def _is_mounted() -> bool:
    # proc_pid_mountinfo(5): the fifth field is the mount point.
    mounts = Path("/proc/self/mountinfo").read_text(errors="replace").splitlines()
    return any(mount.split()[4] == str(PATH) for mount in mounts)


def _is_ours(state: _State) -> bool:
    return bool(state.layers) and _read() == _Content(state.text())


def _read() -> _Content:
    try:
        content = PATH.read_bytes().decode(_ENCODING)
    except FileNotFoundError:
        content = None
    return _Content(content, str(PATH.readlink()) if PATH.is_symlink() else None)


def _original_in_file() -> _Content | None:
    """Returns the original from the comments in the file; None if pyfw has not written the file."""
    lines = (_read().content or "").split("\n")
    first, last = (_HEADER % "\0").strip().split("\0")
    if not (lines[0].startswith(first) and lines[0].endswith(last)):
        return None
    for line in lines:
        if line.startswith(_LINK_PREFIX):
            return _Content(None, line.removeprefix(_LINK_PREFIX))
    content = [
        line.removeprefix(_CONTENT_PREFIX) for line in lines if line.startswith(_CONTENT_PREFIX)
    ]
    return _Content("\n".join(content) if any(content) else None)


def _restore(original: _Content) -> None:
    if original.link is not None:
        PATH.unlink(missing_ok=True)
        PATH.symlink_to(original.link)
    elif original.content is None:
        PATH.unlink(missing_ok=True)
    else:
        _write(original.content)


def _write(content: str) -> None:
    """Replaces the file or link atomically; writes into a file that is a mount point."""
    raw = content.encode(_ENCODING)
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
