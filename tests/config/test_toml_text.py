import pytest

from pyfw.config import toml_text


def parse(text: str) -> tuple[toml_text.Document, list[str]]:
    document, problems = toml_text.parse(text, "f", lambda key: f"write {key} well")
    return document, [str(problem) for problem in problems]


def test_every_key_has_its_line_also_in_arrays_of_tables_and_in_quotes() -> None:
    text = 'a = 1\n[ t ] # why\nb.c = 2\n"d" = 3\n[[s]]\nn = 1\n[s.o]\nx = 1\n[[s]]\nn = 2\n[s.o]\ny=3\n'
    document, problems = parse(text)
    assert problems == []
    lines = document.lines
    assert [lines[key] for key in ("a", "t", "t.b", "t.b.c", "t.d")] == [1, 2, 3, 3, 4]
    assert [lines[key] for key in ("s", "s[0]", "s[0].n", "s[0].o", "s[0].o.x")] == [5, 5, 6, 7, 8]
    assert [lines[key] for key in ("s[1]", "s[1].n", "s[1].o.y")] == [9, 10, 12]


def test_reading_goes_on_behind_a_wrong_line() -> None:
    document, problems = parse("a = \nb = 1\nc 2\nd = 3 4\nb = 5\ne = 6")
    assert document.values == {"b": 1, "e": 6}
    assert problems == [
        "f:1: a: empty; write a well",
        "f:3: c: not TOML: an = is missing; write c well",
        "f:4: d: not TOML: expected newline or end of document after a statement; write d well",
        "f:5: b: given again; the first is at line 2",
    ]


def test_a_table_with_a_wrong_header_is_left_out_with_what_is_in_it() -> None:
    document, problems = parse("a = 1\n[t\nb = 2\n[u]\nc = 3\n[u]\nd = 4\n")
    assert document.values == {"a": 1, "u": {"c": 3}}
    assert [problem.partition(": ")[0] for problem in problems] == ["f:2", "f:6"]
    assert problems[1] == "f:6: u: given again; the first is at line 4"


@pytest.mark.parametrize("value", ["[1,\n2", '"""\nx', "[\n1,\nb = 3\n]", "'''"])
def test_a_broken_value_of_several_lines_ends_the_reading(value: str) -> None:
    document, problems = parse(f"a = 1\nb = {value}\nc = = 3\n")
    assert document.values == {}
    assert len(problems) == 1
    assert "not TOML" in problems[0]


@pytest.mark.parametrize(
    "text",
    [
        "a = " + "[" * 5000,
        "a = " + "9" * 5000,
        "\n" * 9 + "a",
        "a = 1979-02-30\n",
        "\r",
        "=\n" * 99,
    ],
)
def test_what_is_no_toml_is_a_problem_with_a_line(text: str) -> None:
    _, problems = parse(text)
    assert problems
    assert all(problem.startswith("f:") for problem in problems)
    assert len(problems) <= 20
