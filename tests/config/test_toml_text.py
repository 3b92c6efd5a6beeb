import pytest

from pyfw.config import toml_text


def parse(text: str) -> tuple[toml_text.Document, list[str]]:
    document, problems = toml_text.parse(text, "f")
    return document, [str(problem) for problem in problems]


def test_every_key_has_its_line() -> None:
    text = 'a = 1\n[ t ] # why\nb.c = 2\n"d" = 3\n[[s]]\nn = 1\n[s.o]\nx = 1\n[[s]]\nn = 2\n[s.o]\ny=3\n'
    document, problems = parse(text)
    assert problems == []
    lines = document.lines
    assert [lines[key] for key in ("a", "t", "t.b", "t.b.c", "t.d")] == [1, 2, 3, 3, 4]
    assert [lines[key] for key in ("s", "s[0]", "s[0].n", "s[0].o", "s[0].o.x")] == [5, 5, 6, 7, 8]
    assert [lines[key] for key in ("s[1]", "s[1].n", "s[1].o.y")] == [9, 10, 12]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a = 1\nb = \nc 2\n", "f:2: not TOML: invalid value (column 5)"),
        ("a = 1\nb 2", "f:2: not TOML: expected '=' after a key in a key/value pair (column 3)"),
        ("a = 1\na = 2\n", "f:2: not TOML: cannot overwrite a value (column 6)"),
        ("[t]\n[t]\n", "f:2: not TOML: cannot declare ('t',) twice (column 3)"),
        ("a = [1,\n2\n\n", "f:2: not TOML: unclosed array (at end of document)"),
        ("a = 1979-02-30\n", "f:1: not TOML: invalid date or datetime (column 5)"),
        ("a = " + "[" * 5000, "f: not TOML: nested too deeply"),
        ("a = " + "9" * 5000, "f: not TOML: exceeds the limit (4300 digits)"),
    ],
)
def test_a_syntax_error_has_a_line(text: str, problem: str) -> None:
    document, problems = parse(text)
    assert document == toml_text.Document({}, {})
    assert len(problems) == 1
    assert problems[0].startswith(problem)
