"""The systemd unit."""

import configparser
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

_UNIT = Path(__file__).parents[1] / "packaging" / "pyfw@.service"


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    pyfw = Path(sys.executable).with_name("pyfw")
    text = _UNIT.read_text().replace("ExecStart=pyfw ", f"ExecStart={pyfw} ")
    assert str(pyfw) in text
    (tmp_path / "pyfw@.service").write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", tmp_path / "pyfw@wg0.service"],
        capture_output=True,
        text=True,
    )
    about_us = [line for line in done.stderr.splitlines() if "pyfw@" in line]
    assert (done.returncode, about_us) == (0, []), done.stderr


def test_the_unit_matches_the_daemon() -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read(_UNIT)
    service = unit["Service"]
    assert service["Type"] == "notify"
    assert service["ExecReload"].endswith("-HUP $MAINPID")
    # Exit status 2: an invalid configuration, which a restart does not fix.
    assert service["RestartPreventExitStatus"] == "2"
