"""/etc/resolv.conf where nobody manages it: the newest tunnel's servers in, what stood there back at the end.

What stood there is kept in /run/pyfw, with the tunnels that took its place, in the order they came: so they
may end in any order, and what a killed daemon left is found. What somebody else has written meanwhile stays.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import msgspec

from pyfw.control import record
from pyfw.control.locked_file import LockedFile

PATH = Path("/etc/resolv.conf")


class _Layer(msgspec.Struct):
    """What one tunnel asks for."""

    name: str
    text: str


class _State(msgspec.Struct):
    """What has to come back, and what took its place, oldest first."""

    before: bytes | None = None
    """None: there was no file."""
    link: str | None = None
    """Where it led, if it was a symbolic link."""
    layers: list[_Layer] = msgspec.field(default_factory=list)
    written: str = ""
    """The last layer's text, as long as there are any."""


class _Kept:
    """The state on disk, held by us; a context manager."""

    def __init__(self) -> None:
        # Of one network namespace: `ip netns exec` gives each a resolv.conf of its own.
        path = record.DIRECTORY / f"resolv.conf-{record.network_namespace()}"
        file = LockedFile.claim(path, wait=True)
        assert file is not None
        self._file = file
        line = file.read()
        self.state = msgspec.json.decode(line, type=_State) if line else _State()

    def keep(self) -> None:
        """Before the file changes, so that it can be found what it was."""
        self._file.write(msgspec.json.encode(self.state))

    def forget(self) -> None:
        self._file.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._file.release()


def add(name: str, servers: Sequence[str], domains: Sequence[str]) -> None:
    """Puts a tunnel's servers in place of what is there. Raises OSError."""
    text = f"# By pyfw, while {name} is up. What stood here is kept, and comes back.\n"
    text += "".join(f"nameserver {server}\n" for server in servers)
    if domains:
        text += f"search {' '.join(domains)}\n"
    with _Kept() as kept:
        state = kept.state
        if not _is_ours(state):
            state.before, state.link = _now(), _link()
        state.layers = [layer for layer in state.layers if layer.name != name]
        state.layers.append(_Layer(name, text))
        state.written = text
        kept.keep()
        _replace(text.encode())


def remove(name: str) -> bool:
    """Takes a tunnel's servers out again. False where somebody else has written the file. Raises OSError."""
    with _Kept() as kept:
        state = kept.state
        if all(layer.name != name for layer in state.layers):
            return True
        ours = _is_ours(state)
        # Killed before it was written, or after it was put back.
        untouched = ours or (_now(), _link()) == (state.before, state.link)
        state.layers = [layer for layer in state.layers if layer.name != name]
        if not state.layers:
            if ours:
                _restore(state)
            kept.forget()
            return untouched
        state.written = state.layers[-1].text if ours else state.written
        kept.keep()
        if ours:
            _replace(state.written.encode())
        return untouched


def _is_ours(state: _State) -> bool:
    return bool(state.layers) and _now() == state.written.encode()


def _now() -> bytes | None:
    try:
        return PATH.read_bytes()
    except FileNotFoundError:
        return None


def _link() -> str | None:
    return str(PATH.readlink()) if PATH.is_symlink() else None


def _restore(state: _State) -> None:
    if state.link is not None:
        PATH.unlink(missing_ok=True)
        PATH.symlink_to(state.link)
    elif state.before is None:
        PATH.unlink(missing_ok=True)
    else:
        _replace(state.before)


def _replace(content: bytes) -> None:
    """In one step, and in place of a symbolic link; where the file is a mount point, into it."""
    mode = PATH.stat().st_mode & 0o7777 if PATH.is_file() and not PATH.is_symlink() else 0o644
    temporary = PATH.with_name(f".{PATH.name}.pyfw")
    try:
        temporary.write_bytes(content)
        temporary.chmod(mode)
        temporary.replace(PATH)
    except OSError:
        # Containers mount it into a directory that may be read-only: only its content can be changed.
        if temporary.exists():
            temporary.unlink()
        PATH.write_bytes(content)
