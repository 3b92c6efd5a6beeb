"""Checks that the documentation names what the code has, and that its links lead somewhere."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import pyfw

ROOT = Path(__file__).parent.parent
_CORE = ROOT / "rust_ext" / "core" / "src"
_COUNTERS = (ROOT / "docs" / "counters.md").read_text(encoding="utf-8")
_EVENTS = (ROOT / "docs" / "events.md").read_text(encoding="utf-8")
_FOLDERS = ("bench", "docs", "examples", "lab", "packaging", "pcaps", "pyfw", "rust_ext", "tests")
_PAGES = sorted(
    path
    for path in (*ROOT.glob("*.md"), *(p for f in _FOLDERS for p in (ROOT / f).rglob("*.md")))
    if not path.name.startswith("CHANGELOG-")
)
_LINK = re.compile(
    r"(?<!!)\[(?P<text>[^\]]*)\]\((?P<target>[^)\s]+)\)(?:[ \n](?P<after>`[\w:]+`))?"
)
_IMAGE = re.compile(r"!\[[^\]]*\]\((?P<target>[^)\s]+)\)")


# Names


@pytest.mark.parametrize(
    ("enum", "section"),
    [
        ("OutboundDrop", "outbound"),
        ("DatagramDrop", "datagrams"),
        ("InboundDrop", "inbound"),
        ("HandshakeDrop", "handshake_drops"),
    ],
)
def test_every_drop_reason_is_documented(enum: str, section: str) -> None:
    source = (_CORE / "drop_reason.rs").read_text(encoding="utf-8")
    body = re.search(rf"\n    {enum} \{{(.*?)\n    \}}", source, re.DOTALL)
    assert body
    assert set(re.findall(r'=> "(\w+)"', body[1])) == rows(_COUNTERS, section, "drop")


@pytest.mark.parametrize(
    ("tally", "section"),
    [("OutboundTally", "outbound"), ("DatagramTally", "datagrams"), ("InboundTally", "inbound")],
)
def test_every_counter_is_documented(tally: str, section: str) -> None:
    source = (_CORE / "counters.rs").read_text(encoding="utf-8")
    body = re.search(rf"\n    {tally} published .*?\{{(.*?)\n    \}}", source, re.DOTALL)
    assert body
    fields = set(re.findall(r"^        (\w+),$", body[1], re.MULTILINE))
    assert fields
    assert rows(_COUNTERS, section, "counter") - {"socket_drops"} == fields


def test_every_counter_of_a_stage_is_documented() -> None:
    state = ROOT / "rust_ext" / "core" / "src" / "stages" / "state"
    reasons = re.search(r"BUILT_IN: .*? = \[(.*?)\];", (state / "reason.rs").read_text(), re.DOTALL)
    counts = re.search(
        r"pub struct StageCounts \{(.*?)\n\}", (state / "counts.rs").read_text(), re.DOTALL
    )
    assert reasons and counts
    assert set(re.findall(r'"(\w+)"', reasons[1])) <= rows(_COUNTERS, "stages", "drop")
    assert set(re.findall(r"pub (\w+):", counts[1])) <= rows(_COUNTERS, "stages", "counter")


def test_every_event_is_documented() -> None:
    documented = {name for row in table_rows(_EVENTS) for name in row[:1]}
    emitted = set(rust_events()) | set(python_events())
    assert emitted == documented


def test_every_public_name_is_documented() -> None:
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    assert set(pyfw.__all__) <= set(re.findall(r"`(\w+)`", page))


def rust_events() -> Iterator[str]:
    """Names that native code logs: string literals of the form object.event."""
    for crate in ("core", "linux", "native"):
        for path in (ROOT / "rust_ext" / crate / "src").rglob("*.rs"):
            if "tests" in path.parts or path.name == "tests.rs":
                continue
            source = path.read_text(encoding="utf-8").partition("#[cfg(test)]\nmod tests {")[0]
            found = set(re.findall(r'"([a-z]+\.[a-z_]+)"', source))
            # Secrets go to a file of their own, and module paths are not events.
            yield from (name for name in found - {"handshake.key_log"} if name[:5] != "pyfw.")


def python_events() -> Iterator[str]:
    """Constant first arguments of a logger's methods."""
    method = re.compile(r"(\b_?log|\b_?steps|get_logger\('pyfw'\))\.(debug|info|warning|error)\b")
    for path in (ROOT / "pyfw").rglob("*.py"):
        if "demo" in path.parts:
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        constants = {
            target.id: node.value.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
            for target in node.targets
            if isinstance(target, ast.Name) and isinstance(node.value.value, str)
        }
        for node in ast.walk(tree):
            if not (isinstance(node, ast.Call) and node.args):
                continue
            if not method.search(ast.unparse(node.func)):
                continue
            match node.args[0]:
                case ast.Constant(value=str(name)):
                    yield name
                case ast.Name(id=variable) if variable in constants:
                    yield constants[variable]


# Commands and code


def test_the_python_of_the_readme_runs() -> None:
    pytest.importorskip("scapy")
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    tunnel, stage, unit_test = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    compile(tunnel, "README.md", "exec")
    exec(stage + unit_test, {})


def test_every_make_target_that_is_named_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    known = {
        name for line in re.findall(r"^([\w -]+):", makefile, re.MULTILINE) for name in line.split()
    }
    named = {
        target
        for page in _PAGES
        for target in re.findall(
            r"(?:`|^    |&& )make ([a-z][\w-]*)", page.read_text(encoding="utf-8")
        )
    }
    assert named
    assert named <= known


def test_every_path_that_contributing_names_exists() -> None:
    spans = re.findall(
        r"`([\w./-]+/[\w./-]+)`", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    )
    paths = [span for span in spans if "NAME" not in span and not span.startswith("/")]
    assert paths
    assert [path for path in paths if not (ROOT / path).exists()] == []


# Links


def test_there_are_pages() -> None:
    assert {"README.md", "CONTRIBUTING.md", "architecture.md"} <= {page.name for page in _PAGES}


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_and_pictures_resolve(page: Path) -> None:
    text = without_code(page.read_text(encoding="utf-8"))
    targets = [m["target"] for pattern in (_LINK, _IMAGE) for m in pattern.finditer(text)]
    broken = [target for target in targets if not resolves(page, target)]
    assert not broken


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_link_to_source_names_is_defined_there(page: Path) -> None:
    missing = []
    for link in _LINK.finditer(page.read_text(encoding="utf-8")):
        target = (page.parent / link["target"].partition("#")[0]).resolve()
        if target.suffix not in (".py", ".rs"):
            continue
        # [`file.rs`](…) `Type::function`, or [`Type::function`](…).
        names = [name for name in (link["text"], link["after"]) if name and name[0] == "`"]
        missing += [name for name in names if not names_something(name.strip("`"), target)]
    assert not missing


def test_nothing_cites_a_page_that_is_not_here() -> None:
    # Written apart, so that this file does not match.
    words = re.compile("design" + r" (§|section)")
    suffixes = {".md", ".py", ".pyi", ".rs", ".toml", ".yaml", ".yml", ".service"}
    files = [
        path
        for folder in (*_FOLDERS, ".ci", ".github")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in suffixes and path.is_file()
    ]
    files += [path for path in ROOT.iterdir() if path.suffix in suffixes or path.name == "Makefile"]
    citing = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in files
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if words.search(line)
    ]
    assert not citing


# Helpers


def rows(page: str, section: str, column: str) -> set[str]:
    """The names in the first column of a section's tables whose heading begins with `column`."""
    body = re.split(r"^## ", page, flags=re.MULTILINE)
    (chosen,) = (part for part in body if re.match(rf"{section}\b", part))
    tables = re.findall(rf"^\| {column} .*\n\|[-| ]+\n((?:\|.*\n)+)", chosen, re.MULTILINE)
    return {name for table in tables for row in table.splitlines() for name in names_in(row)}


def names_in(row: str) -> list[str]:
    """The code spans of a row's first cell."""
    return re.findall(r"`([^`]+)`", row.split("|")[1])


def table_rows(page: str) -> Iterator[list[str]]:
    """The names in the first cell of each row that has some."""
    for line in page.splitlines():
        if line.startswith("| `"):
            yield names_in(line)


def without_code(text: str) -> str:
    """A page without its code blocks and code spans."""
    text = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"^    .*$", "", text, flags=re.MULTILINE)


def resolves(page: Path, target: str) -> bool:
    """Whether a link's file exists, and has its anchor."""
    if re.match(r"https?://", target):
        return True
    file, _, anchor = target.partition("#")
    path = (page.parent / file).resolve() if file else page
    if not path.exists() or not path.is_relative_to(ROOT):
        return False
    return not anchor or anchor in anchors(path)


def anchors(page: Path) -> set[str]:
    """The anchors that a page's headings get: lower case, spaces to hyphens, other signs removed."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {
        re.sub(r"[^\w\- ]", "", re.sub(r"[`*]", "", heading).lower()).strip().replace(" ", "-")
        for heading in headings
    }


def names_something(text: str, file: Path) -> bool:
    """Whether a link's text is the file's name, or the name of a definition in it."""
    if not file.exists() or text.endswith((".py", ".rs")):
        return file.exists() and str(file).endswith(f"/{text}")
    if text in (file.stem, file.parent.name):
        return True
    name = re.escape(re.split(r"::|\.", text)[-1])
    kinds = "fn|struct|enum|trait|type|const|static|mod|class|def"
    pattern = rf"\b(?:{kinds})\s+{name}\b|^{name}\b.* = "
    return bool(re.search(pattern, file.read_text(encoding="utf-8"), re.MULTILINE))
