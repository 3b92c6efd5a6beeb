"""docs/extend.md: its stages pass their tests and a replay, its tables are valid, its lists are complete."""

import importlib
import re
import shlex
import shutil
import sys
import tomllib
import types
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from click.testing import CliRunner
from scapy.layers.inet import IP, UDP

import pyfw
from pyfw.cli.group import group
from pyfw.config.settings import read
from pyfw.stages.load import ENTRY_POINTS

ROOT = Path(__file__).parents[2]


def blocks() -> list[str]:
    """The indented code blocks."""
    text = (ROOT / "docs" / "extend.md").read_text()
    found = re.findall(r"(?:^    .*\n|^\n(?=    ))+", text, re.MULTILINE)
    return [re.sub(r"^    ", "", block, flags=re.MULTILINE).strip() + "\n" for block in found]


def block(word: str) -> str:
    (found,) = (text for text in blocks() if word in text)
    return found


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with the stages of the page, from which they can be imported."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "no_telnet.py").write_text(block("class NoTelnet"))
    (tmp_path / "slow.py").write_text(block("class Slow"))
    yield tmp_path
    for name in ("no_telnet", "slow"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("name", ["test_telnet_is_dropped", "test_frames_leave_after_the_delay"])
def test_the_stages_pass_their_tests(folder: Path, name: str) -> None:
    module = types.ModuleType(name)
    exec(block(f"def {name}"), module.__dict__)
    getattr(module, name)()


def test_the_replay_commands_run(folder: Path) -> None:
    shutil.copy(ROOT / "pcaps" / "real" / "dns-lookups" / "capture.pcap", "trouble.pcap")
    commands = [text for text in blocks() if text.startswith("pyfw replay")]
    assert len(commands) == 2
    for command in commands:
        done = CliRunner().invoke(group, shlex.split(command)[1:])
        structlog.reset_defaults()
        assert done.exit_code == 0, done.output
        assert " at gateway: " in done.output
    assert Path("out.pcapng").stat().st_size > 0


def test_a_reload_hands_delayed_frames_over(folder: Path) -> None:
    module = importlib.import_module("slow")
    old, new = module.Slow(delay_ms=1), module.Slow(delay_ms=1)
    packet = bytes(IP() / UDP())
    with pyfw.StageTest(old) as test:
        assert test.inbound(packet) == []
        test._set.change([new])
        test.tick(test.now_ns + 1_000_000)
        assert test.inbound() == [packet]


def test_the_entry_point_group_is_correct() -> None:
    project = tomllib.loads(block("entry-points"))["project"]
    assert list(project["entry-points"]) == [ENTRY_POINTS]


def test_every_table_is_valid() -> None:
    tables = [text for text in blocks() if text.startswith("[[stages]]")]
    assert len(tables) >= 4
    for text in tables:
        assert read(text, "wg0.pyfw.toml")[1] == []


def test_every_key_of_a_table_is_documented() -> None:
    from pyfw.config.filter_checks import FILTER_CHECKS
    from pyfw.config.stages import CHECKS

    text = (ROOT / "docs" / "extend.md").read_text()
    assert [key for key in CHECKS if f"| `{key}` |" not in text] == []
    assert [word for word in FILTER_CHECKS if f"`{word}`" not in text] == []
