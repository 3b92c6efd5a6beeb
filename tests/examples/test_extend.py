"""docs/extend.md says what is so: its stage passes its test and runs over a capture, its tables are read."""

import re
import types
from pathlib import Path

import pytest
import structlog
from click.testing import CliRunner

from pyfw.cli.group import group
from pyfw.config.settings import read

ROOT = Path(__file__).parents[2]


def blocks() -> list[str]:
    """Everything that is indented by four, blank lines inside included."""
    text = (ROOT / "docs" / "extend.md").read_text()
    found = re.findall(r"(?:^    .*\n|^\n(?=    ))+", text, re.MULTILINE)
    return [re.sub(r"^    ", "", block, flags=re.MULTILINE).strip() + "\n" for block in found]


def block(word: str) -> str:
    (found,) = (text for text in blocks() if word in text)
    return found


def test_the_stage_passes_its_test_and_is_replayed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    Path("no_telnet.py").write_text(block("class NoTelnet"))
    tests = types.ModuleType("test_no_telnet")
    exec(block("def test_telnet_is_refused"), tests.__dict__)
    tests.test_telnet_is_refused()
    capture = str(ROOT / "pcaps" / "real" / "dns-lookups" / "capture.pcap")
    arguments = ["replay", "--stage", "no_telnet.py:NoTelnet", capture]
    done = CliRunner().invoke(group, arguments)
    structlog.reset_defaults()
    assert done.exit_code == 0
    assert "stage NoTelnet at gateway: " in done.output


def test_every_table_is_read_without_a_problem() -> None:
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
