"""`pyfw bench`: what it says, and that it measures."""

import io
import json
import subprocess
import sys

import pytest

from bench.cost_report import Account, Series
from lab import unavailable
from lab.measure import Sample
from pyfw.demo.terminal import Terminal


def series(late: float = 0) -> Series:
    """Three rounds of some figures."""
    found = Series()
    found.facts = {"cipher": "ipsec-mb", "threads": 1}
    for gbit_s in (8.0, 9.0, 9.5):
        for way in ("up", "down"):
            values = {"gbit_s": gbit_s, "cpu_s_gb": 1.2, "late": late, "out_of_order": 1.0}
            found.add("pyfw", f"tcp-1-{way}", Sample(values, {"TUN queue": 2}))
            found.add("cipher off", f"tcp-1-{way}", Sample({"gbit_s": 16.0, "cpu_s_gb": 0.5}))
        found.add("cipher", "cipher", Sample({"cpu_s_gb": 0.7}))
    return found


def text(late: float = 0) -> str:
    return Account("0.1.0", "release", series(late), 3).as_text(Terminal(io.StringIO()))


def test_figures_are_medians_with_their_spread() -> None:
    assert "9.00 (8.00–9.50) Gbit/s" in text()


def test_the_floor_is_the_path_without_its_cipher_and_the_cipher() -> None:
    account = Account("0.1.0", "release", series(), 3)
    assert account.floor("up") == pytest.approx(1.2)
    assert "1.00 times 1.20 s/GB" in text()


def test_what_was_not_measured_has_no_figure() -> None:
    lines = {line[:26].strip(): line[26:].strip() for line in text().splitlines()}
    assert set(lines["8 TCP flows"]) <= {"–", " "}


def test_drops_of_all_rounds_are_added_up() -> None:
    assert "TUN queue 12" in text()


def test_one_late_counter_is_a_failure() -> None:
    assert Account("0.1.0", "release", series(), 3).good
    assert not Account("0.1.0", "release", series(late=1), 3).good


def test_a_floor_of_nothing_divides_nothing() -> None:
    empty = Account("0.1.0", "release", Series(), 3)
    assert empty.floor("up") == 0
    assert "pyfw 0.1.0" in empty.as_text(Terminal(io.StringIO()))


@pytest.mark.netns
@pytest.mark.skipif(unavailable() is not None, reason=f"no namespaces: {unavailable()}")
def test_a_round_measures_the_tunnel_and_both_floors() -> None:
    command = [sys.executable, "-c", "from pyfw.cli import main; main()", "bench", "--json"]
    done = subprocess.run(
        [*command, "--rounds", "1", "--seconds", "0.2"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["measures"].keys() == {"pyfw", "cipher off", "TUN to UDP", "cipher"}
    assert document["late"] == 0
    for way in ("up", "down"):
        (cost,) = document["measures"]["pyfw"][f"tcp-1-{way}"]["cpu_s_gb"]
        (path,) = document["measures"]["cipher off"][f"tcp-1-{way}"]["cpu_s_gb"]
        assert 0 < path < document["floor_cpu_s_gb"][way]
        assert cost > 0
