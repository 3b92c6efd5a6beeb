"""`python -m bench`: its report, and one short run."""

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.cost_report import CostReport, Series
from lab import baseline, unavailable
from lab.measure import Sample
from pyfw.demo.terminal import Terminal

ROOT = Path(__file__).parents[2]


def series(late: float = 0) -> Series:
    """Three rounds of example values."""
    found = Series()
    found.facts = {"cipher": "ipsec-mb", "threads": 1}
    for gbit_s in (8.0, 9.0, 9.5):
        for direction in ("up", "down"):
            values = {"gbit_s": gbit_s, "cpu_s_gb": 1.2, "late": late, "out_of_order": 1.0}
            found.add("pyfw", f"tcp-1-{direction}", Sample(values, {"TUN queue": 2}))
            without = Sample({"gbit_s": 16.0, "cpu_s_gb": 0.5})
            found.add("cipher off", f"tcp-1-{direction}", without)
        found.add("cipher", "cipher", Sample({"cpu_s_gb": 0.7}))
    return found


def text(late: float = 0) -> str:
    return CostReport("0.1.0", "release", series(late), 3).as_text(Terminal(io.StringIO()))


def test_values_are_medians_with_their_spread() -> None:
    assert "9.00 (8.00–9.50) Gbit/s" in text()


def test_baseline_is_the_path_without_cipher_plus_the_cipher() -> None:
    report = CostReport("0.1.0", "release", series(), 3)
    assert report.baseline("up") == pytest.approx(1.2)
    assert "1.00 times 1.20 s/GB" in text()


def test_unmeasured_rows_have_no_value() -> None:
    lines = {line[:30].strip(): line[30:].strip() for line in text().splitlines()}
    assert set(lines["8 TCP flows"]) <= {"–", " "}


def test_drops_are_summed_over_rounds() -> None:
    assert "TUN queue 12" in text()


def test_one_late_counter_fails_the_run() -> None:
    assert CostReport("0.1.0", "release", series(), 3).passed
    assert not CostReport("0.1.0", "release", series(late=1), 3).passed


def test_empty_series_gives_a_report() -> None:
    empty = CostReport("0.1.0", "release", Series(), 3)
    assert empty.baseline("up") == 0
    assert "pyfw 0.1.0" in empty.as_text(Terminal(io.StringIO()))


def test_checkout_does_not_hide_the_installed_pyfw() -> None:
    script = "import sys, bench; print(sys.path.count(sys.path[-1]), sys.path[-1])"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["1", str(ROOT)]


@pytest.mark.netns
@pytest.mark.alone
@pytest.mark.skipif(unavailable() is not None, reason=f"no namespaces: {unavailable()}")
@pytest.mark.skipif(baseline.unavailable() is not None, reason=str(baseline.unavailable()))
def test_one_round_measures_the_tunnel_and_the_baselines() -> None:
    command = [sys.executable, "-m", "bench", "--json", "--rounds", "1", "--seconds", "0.3"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["measures"].keys() == {"pyfw", "cipher off", "TUN to UDP", "cipher"}
    assert document["late"] == 0
    for direction in ("up", "down"):
        (cost,) = document["measures"]["pyfw"][f"tcp-1-{direction}"]["cpu_s_gb"]
        (path,) = document["measures"]["cipher off"][f"tcp-1-{direction}"]["cpu_s_gb"]
        assert 0 < path < document["floor_cpu_s_gb"][direction]
        assert cost > 0
