"""The script beside each capture builds it again, byte for byte."""

import runpy
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PCAPS = ROOT / "pcaps"
RECIPES = sorted(PCAPS.rglob("make.py"))
CAPTURES = sorted(path for path in PCAPS.rglob("*") if ".pcap" in path.name)


def name_of(path: Path) -> str:
    return path.parent.relative_to(PCAPS).as_posix()


@pytest.mark.parametrize("recipe", RECIPES, ids=name_of)
def test_a_recipe_builds_its_capture(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("scapy")
    # Like `python make.py FOLDER`, without importing scapy each time.
    monkeypatch.setattr(sys, "argv", [str(recipe), str(tmp_path)])
    monkeypatch.setattr(sys, "path", [*sys.path])
    runpy.run_path(str(recipe), run_name="__main__")
    built = sorted(tmp_path.iterdir())
    assert built
    for file in built:
        committed = recipe.with_name(file.name)
        assert file.read_bytes() == committed.read_bytes(), committed


@pytest.mark.parametrize("capture", CAPTURES, ids=lambda path: str(path.relative_to(PCAPS)))
def test_a_capture_has_a_recipe(capture: Path) -> None:
    # Real traffic cannot be reproduced; record.py is how it was captured.
    assert capture.with_name("make.py").exists() or capture.with_name("record.py").exists()
