"""Which cases a path means, and which of them -k leaves."""

from pathlib import Path

import pytest

from pyfw.replay.find import find, selector


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
    found = find(["pcaps"])
    assert [one.name for one in found] == ["pcaps/a/one", "pcaps/b/two"]
    assert all(one.case is not None and one.case.file is not None for one in found)


def test_a_case_that_is_named_twice_runs_once(tree: Path) -> None:
    found = find(["pcaps/b", "pcaps", "pcaps/a/one/case.replay.toml"])
    assert [one.name for one in found] == ["pcaps/b/two", "pcaps/a/one"]


def test_a_capture_is_a_case_that_expects_nothing(tree: Path) -> None:
    (found,) = find(["pcaps/a/one/c.pcap"])
    assert found.case is not None
    assert (found.case.expected, found.case.capture) == (None, "pcaps/a/one/c.pcap")


def test_a_case_that_cannot_be_read_stands_beside_the_others(tree: Path) -> None:
    (tree / "pcaps/a/one/case.replay.toml").write_text("")
    broken, right = find(["pcaps"])
    assert broken.case is None
    assert "why: is missing" in broken.problem
    assert right.case is not None


@pytest.mark.parametrize("path", ["nowhere", "empty"])
def test_a_path_that_names_no_case_is_an_error(tree: Path, path: str) -> None:
    (tree / "empty").mkdir()
    with pytest.raises(FileNotFoundError):
        find([path])


@pytest.mark.parametrize(
    ("expression", "chosen"),
    [
        ("seed", True),
        ("SEED and tso", False),
        ("tso or seed", True),
        ("not seed or gso", True),
        ("not (seed or tso)", False),
        ("gso and not tso", True),
    ],
)
def test_words_are_joined_as_in_pytest(expression: str, chosen: bool) -> None:
    assert selector(expression)("pcaps/gso_egress/seed-trace") is chosen


@pytest.mark.parametrize("expression", ["", "and", "a b", "(a", "a or", "not", ")"])
def test_an_expression_that_is_none_is_refused(expression: str) -> None:
    with pytest.raises(ValueError, match=r"missing|expected|closed"):
        selector(expression)
