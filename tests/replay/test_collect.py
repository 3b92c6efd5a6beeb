"""Collecting cases from paths, and selecting them with -k."""

from pathlib import Path

import pytest

from pyfw.replay.collect import collect, name_filter


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("b/two", "a/one"):
        folder = tmp_path / "pcaps" / name
        folder.mkdir(parents=True)
        (folder / "c.pcap").write_bytes(b"")
        (folder / "case.replay.toml").write_text('why = "w"\ncapture = "c.pcap"\n')
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_folders_are_searched_in_order_of_name(tree: Path) -> None:
    cases = collect(["pcaps"])
    assert [one.name for one in cases] == ["pcaps/a/one", "pcaps/b/two"]
    assert all(one.case is not None and one.case.file is not None for one in cases)


def test_a_case_given_twice_runs_once(tree: Path) -> None:
    cases = collect(["pcaps/b", "pcaps", "pcaps/a/one/case.replay.toml"])
    assert [one.name for one in cases] == ["pcaps/b/two", "pcaps/a/one"]


def test_a_capture_is_a_case_without_expectation(tree: Path) -> None:
    (collected,) = collect(["pcaps/a/one/c.pcap"])
    assert collected.case is not None
    assert (collected.case.expected, collected.case.capture) == (None, "pcaps/a/one/c.pcap")


def test_an_invalid_case_does_not_hide_the_others(tree: Path) -> None:
    (tree / "pcaps/a/one/case.replay.toml").write_text("")
    broken, valid = collect(["pcaps"])
    assert broken.case is None
    assert "why: is missing" in broken.problem
    assert valid.case is not None


@pytest.mark.parametrize("path", ["nowhere", "empty"])
def test_a_path_without_cases_is_an_error(tree: Path, path: str) -> None:
    (tree / "empty").mkdir()
    with pytest.raises(FileNotFoundError):
        collect([path])


@pytest.mark.parametrize(
    ("expression", "selected"),
    [
        ("seed", True),
        ("SEED and tso", False),
        ("tso or seed", True),
        ("not seed or gso", True),
        ("not (seed or tso)", False),
        ("gso and not tso", True),
    ],
)
def test_expressions_select_as_in_pytest(expression: str, selected: bool) -> None:
    assert name_filter(expression)("pcaps/gso_egress/seed-trace") is selected


@pytest.mark.parametrize("expression", ["", "and", "a b", "(a", "a or", "not", ")"])
def test_an_invalid_expression_is_an_error(expression: str) -> None:
    with pytest.raises(ValueError, match=r"missing|unexpected"):
        name_filter(expression)
