"""Files to a configuration: NAME.conf and, beside it, NAME.pyfw.toml. All errors of both at once."""

import os
import stat
from pathlib import Path

import msgspec

from pyfw.config import role, toml_text, wg_quick
from pyfw.config import settings as settings_file
from pyfw.config.problem import ConfigError, Problem
from pyfw.config.settings import Settings
from pyfw.config.values import INTERFACE_NAME
from pyfw.config.wg_quick import Interface, Peer, WgQuick

DIRECTORY = Path("/etc/wireguard")
"""Where wg-quick looks for NAME.conf."""

# Some 500,000 allowed IPs; more is not a configuration, and reading stays bounded.
_BYTES_MAX = 16 << 20


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """All that is known about one tunnel before it runs."""

    name: str
    interface: Interface = Interface()
    peers: tuple[Peer, ...] = ()
    settings: Settings = Settings()
    warnings: tuple[Problem, ...] = ()


def path_of(conf: str | os.PathLike[str]) -> Path:
    """Where the file is that a path to NAME.conf, or a NAME, stands for."""
    path = Path(conf)
    if INTERFACE_NAME.fullmatch(str(conf)) and path.suffix != ".conf":
        return DIRECTORY / f"{conf}.conf"
    return path


def load(conf: str | os.PathLike[str]) -> Config:
    """Reads a path to NAME.conf, or NAME in /etc/wireguard. Raises ConfigError or OSError."""
    path = path_of(conf)
    problems: list[Problem] = []
    name = path.name.removesuffix(".conf")
    if path.suffix != ".conf" or not is_interface_name(name):
        text = (
            "the file is named after its interface: 1 to 15 of a-z A-Z 0-9 _ = + . - and then .conf"
        )
        problems.append(Problem(str(path), 0, "", text))
    conf_text, warnings = _text(path, problems)
    file: WgQuick | None = None
    if conf_text is not None:
        file, found = wg_quick.read(conf_text, str(path))
        problems += found
    beside = path.with_name(f"{name}.pyfw.toml")
    settings = Settings()
    if beside.exists():
        toml, _ = _text(beside, problems)
        if toml is not None:
            settings, found = settings_file.read(toml, str(beside))
            problems += found
            # What is wrong by itself is told by itself.
            if file is not None and not problems:
                lines = toml_text.parse(toml, str(beside))[0].lines

                def told(key: str, text: str) -> Problem:
                    return Problem(str(beside), lines.get(key, 0), key, text)

                problems += role.faults(settings, file, told)
                warnings += role.warnings(settings, file, told)
    if problems or file is None:
        raise ConfigError(problems)
    return Config(
        name=name,
        interface=file.interface,
        peers=file.peers,
        settings=settings,
        warnings=(*warnings, *file.warnings),
    )


def parse(text: str, name: str = "wg0", settings: Settings | None = None) -> Config:
    """The same for the text of a wg-quick file. Raises ConfigError."""
    file, problems = wg_quick.read(text, f"{name}.conf")
    if problems:
        raise ConfigError(problems)
    return Config(
        name=name,
        interface=file.interface,
        peers=file.peers,
        settings=settings or Settings(),
        warnings=file.warnings,
    )


def is_interface_name(name: str) -> bool:
    """wg-quick's rule, less the two names that are directories."""
    return bool(INTERFACE_NAME.fullmatch(name)) and name not in (".", "..")


def _text(path: Path, problems: list[Problem]) -> tuple[str | None, list[Problem]]:
    # Not blocking: a FIFO would hold us until somebody writes.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            problems.append(Problem(str(path), 0, "", "not a regular file"))
            return None, []
        raw = file.read(_BYTES_MAX + 1)
    if len(raw) > _BYTES_MAX:
        problems.append(Problem(str(path), 0, "", f"longer than {_BYTES_MAX >> 20} MiB"))
        return None, []
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        problems.append(Problem(str(path), line, "", f"not UTF-8: byte 0x{raw[error.start]:02x}"))
        return None, []
    if text.startswith("\ufeff"):
        problems.append(Problem(str(path), 1, "", "begins with a byte order mark; save it without"))
        return None, []
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        problems.append(Problem(str(path), line, "", "contains a NUL byte"))
        return None, []
    return text, _exposure(path, status)


def _exposure(path: Path, status: os.stat_result) -> list[Problem]:
    # As wg-quick: only where the directory lets others through, too.
    if status.st_mode & path.resolve().parent.stat().st_mode & stat.S_IRWXO:
        return [Problem(str(path), 0, "", f"world accessible; chmod 600 {path.name}")]
    return []
