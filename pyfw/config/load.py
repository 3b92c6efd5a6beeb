"""Loads a tunnel's configuration: NAME.conf and, beside it, NAME.pyfw.toml. Reports all errors of both."""

import os
import stat
from pathlib import Path

import msgspec

from pyfw.config import role, toml_text, wg_quick
from pyfw.config import settings as settings_file
from pyfw.config.problem import ConfigError, Problem
from pyfw.config.settings import Settings
from pyfw.config.values import INTERFACE_NAME
from pyfw.config.wg_quick import Interface, Peer, WgQuickFile

DIRECTORY = Path("/etc/wireguard")
"""Where wg-quick looks for NAME.conf."""

# Room for some 500,000 allowed IPs; bounds the memory of a read.
_BYTES_MAX = 16 << 20


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """The configuration of one tunnel."""

    name: str
    interface: Interface = Interface()
    peers: tuple[Peer, ...] = ()
    settings: Settings = Settings()
    warnings: tuple[Problem, ...] = ()


def path_of(conf: str | os.PathLike[str]) -> Path:
    """Returns the path of a file given as a path to NAME.conf, or as NAME."""
    path = Path(conf)
    if INTERFACE_NAME.fullmatch(str(conf)) and path.suffix != ".conf":
        return DIRECTORY / f"{conf}.conf"
    return path


def load(conf: str | os.PathLike[str]) -> Config:
    """Loads a path to NAME.conf, or NAME from /etc/wireguard. Raises ConfigError or OSError."""
    path = path_of(conf)
    problems: list[Problem] = []
    name = path.name.removesuffix(".conf")
    if path.suffix != ".conf" or not is_interface_name(name):
        text = (
            "the file is named after its interface: 1 to 15 of a-z A-Z 0-9 _ = + . - and then .conf"
        )
        problems.append(Problem(str(path), 0, "", text))
    conf_text, warnings = _read_text(path, problems)
    file: WgQuickFile | None = None
    if conf_text is not None:
        file, found = wg_quick.read(conf_text, str(path))
        problems += found
    toml_path = path.with_name(f"{name}.pyfw.toml")
    settings = Settings()
    if toml_path.exists():
        toml, _ = _read_text(toml_path, problems)
        if toml is not None:
            settings, found = settings_file.read(toml, str(toml_path))
            problems += found
            # Checks across both files make sense only if each of them is valid.
            if file is not None and not problems:
                lines = toml_text.parse(toml, str(toml_path))[0].lines

                def problem(key: str, text: str) -> Problem:
                    return Problem(str(toml_path), lines.get(key, 0), key, text)

                problems += role.errors(settings, file, problem)
                warnings += role.warnings(settings, file, problem)
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
    """Parses the text of a wg-quick file. Raises ConfigError."""
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
    """Whether wg-quick accepts the name; "." and "..", which are directories, are excluded."""
    return bool(INTERFACE_NAME.fullmatch(name)) and name not in (".", "..")


def _read_text(path: Path, problems: list[Problem]) -> tuple[str | None, list[Problem]]:
    """Returns the text, or None and adds to `problems`; and the warnings about the file."""
    # Not blocking: opening a FIFO would wait for a writer.
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
    return text, _mode_warnings(path, status)


def _mode_warnings(path: Path, status: os.stat_result) -> list[Problem]:
    # As wg-quick: only if the directory is accessible to others, too.
    if status.st_mode & path.resolve().parent.stat().st_mode & stat.S_IRWXO:
        return [Problem(str(path), 0, "", f"world accessible; chmod 600 {path.name}")]
    return []
