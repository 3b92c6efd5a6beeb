"""Fails if a renamed definition is back under its old name.

`.ci/renamed.csv` lists what was renamed: the file or folder that holds the definition, its kind, the old name
and the new one. Only definitions count; the words themselves may be used freely.
"""

import ast
import csv
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent
RENAMED = ROOT / ".ci" / "renamed.csv"

RUST = {
    "rust-type": r"\b(?:struct|enum|trait|union|type)\s+{}\b",
    "rust-fn": r"\bfn\s+{}\b",
    "rust-field": r"^\s*(?:pub(?:\([a-z]+\))?\s+)?{}\s*:",
    "rust-const": r"\b(?:const|static)\s+{}\s*:",
}
PYTHON = {"python-class": ast.ClassDef, "python-function": (ast.FunctionDef, ast.AsyncFunctionDef)}
MODULES = {"rust-module": ("{}.rs", "{}/mod.rs"), "python-module": ("{}.py", "{}/__init__.py")}
# Names that operators read: a quoted string anywhere in the sources is a definition.
STRINGS = {"counter", "event", "setting"}


@cache
def sources(path: str, suffix: str) -> list[Path]:
    """The tracked files with `suffix` at or below `path`."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--", path], cwd=ROOT, capture_output=True, text=True, check=True
    )
    found = (ROOT / name for name in listed.stdout.split("\0") if name.endswith(suffix))
    return [file for file in found if file.exists() and file != RENAMED]


@cache
def text_of(file: Path) -> str:
    """The file's text."""
    return file.read_text()


@cache
def python_definitions(file: Path) -> list[tuple[ast.AST, str, int]]:
    """Each class and function of a Python file: node, name, line."""
    nodes = ast.walk(ast.parse(text_of(file)))
    kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return [(node, node.name, node.lineno) for node in nodes if isinstance(node, kinds)]


def definitions(path: str, kind: str, name: str) -> Iterator[str]:
    """Where `name` is defined as `kind` at or below `path`, as file:line."""
    if kind in RUST:
        pattern = re.compile(RUST[kind].format(re.escape(name)), re.MULTILINE)
        for file in sources(path, ".rs"):
            for match in pattern.finditer(text_of(file)):
                yield f"{file.relative_to(ROOT)}:{text_of(file).count(chr(10), 0, match.start()) + 1}"
    elif kind in PYTHON:
        for file in sources(path, ".py"):
            for node, found, line in python_definitions(file):
                if found == name and isinstance(node, PYTHON[kind]):
                    yield f"{file.relative_to(ROOT)}:{line}"
    elif kind in MODULES:
        for form in MODULES[kind]:
            file = ROOT / path / form.format(name)
            if file.exists():
                yield str(file.relative_to(ROOT))
    elif kind in STRINGS:
        pattern = re.compile(rf"""["']{re.escape(name)}["']""")
        for suffix in (".rs", ".py", ".pyi", ".toml"):
            for file in sources(path, suffix):
                for match in pattern.finditer(text_of(file)):
                    line = text_of(file).count("\n", 0, match.start()) + 1
                    yield f"{file.relative_to(ROOT)}:{line}"
    else:
        sys.exit(f"{RENAMED.name}: unknown kind {kind!r} of {name!r}")


def main() -> int:
    """Checks every row."""
    failures = 0
    with RENAMED.open(newline="") as file:
        for row in csv.DictReader(file):
            if not (ROOT / row["path"]).exists():
                print(f"{RENAMED.name}: {row['path']} does not exist (row of {row['old']})")
                failures += 1
            for place in definitions(row["path"], row["kind"], row["old"]):
                print(f"{place}: {row['kind']} {row['old']} was renamed: {row['new']}")
                failures += 1
    cited = subprocess.run(
        ["git", "grep", "-nIE", "design (§|section)", "--", ":!.ci"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    print(cited.stdout, end="")
    return 1 if failures or cited.stdout else 0


if __name__ == "__main__":
    sys.exit(main())
