"""Import rules of the Python packages, the Rust crates and the folders of the core; and what starts fast."""

import itertools
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

CORE = ROOT / "rust_ext" / "core" / "src"

# By crate: the crates of the workspace that it may depend on.
ALLOWED_DEPENDENCIES = {
    "pyfw-core": set(),
    "pyfw-aead": {"pyfw-core"},
    "pyfw-linux": {"pyfw-core"},
    "pyfw-replay": {"pyfw-core"},
    "pyfw-native": {"pyfw-core", "pyfw-aead", "pyfw-linux", "pyfw-replay"},
    # Only a development dependency of the others.
    "pyfw-testkit": {"pyfw-core"},
}


def test_python_packages_import_only_lower_layers() -> None:
    lint = Path(sys.executable).with_name("lint-imports")
    if not lint.exists():
        pytest.skip("import-linter is not installed")
    done = subprocess.run(
        [lint, "--no-cache"], cwd=ROOT, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.skipif(shutil.which("cargo") is None, reason="cargo is not installed")
def test_rust_crates_depend_only_on_lower_crates() -> None:
    done = subprocess.run(
        ["cargo", "metadata", "--no-deps", "--format-version=1", "--offline"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=100,
    )
    found = {
        package["name"]: {
            dependency["name"]
            for dependency in package["dependencies"]
            if dependency["name"].startswith("pyfw-") and dependency["kind"] != "dev"
        }
        for package in json.loads(done.stdout)["packages"]
    }
    assert found.keys() == ALLOWED_DEPENDENCIES.keys()
    for crate, dependencies in found.items():
        assert dependencies <= ALLOWED_DEPENDENCIES[crate], crate


def test_folders_of_the_core_import_each_other_without_a_cycle() -> None:
    imports = core_imports()
    cycle = find_cycle({folder: set(targets) for folder, targets in imports.items()})
    steps = [f"{a} imports {b}: {imports[a][b]}" for a, b in itertools.pairwise(cycle)]
    assert not cycle, "\n".join(steps)


@pytest.mark.parametrize(("path", "other"), [("inbound", "outbound"), ("outbound", "inbound")])
def test_the_two_paths_never_import_each_other(path: str, other: str) -> None:
    assert core_imports()[path].get(other) is None


def core_imports() -> dict[str, dict[str, list[str]]]:
    """Returns what each folder or module of the core imports from others: folder → other → ["file: path"]."""
    folders = {entry.name.removesuffix(".rs") for entry in CORE.iterdir()} - {"lib"}
    imports: dict[str, dict[str, list[str]]] = {folder: {} for folder in folders}
    for file in sorted(CORE.rglob("*.rs")):
        parts = file.relative_to(CORE).with_suffix("").parts
        if "tests" in parts or parts == ("lib",):
            continue
        for path in crate_paths(file.read_text(), depth=len(parts) - (parts[-1] == "mod")):
            target = path.partition("::")[0]
            if target in folders - {parts[0]}:
                place = f"{file.relative_to(ROOT)}: {path}"
                imports[parts[0]].setdefault(target, []).append(place)
    return imports


def crate_paths(source: str, depth: int) -> Iterator[str]:
    """Yields the paths below `crate::` in Rust source that is not a test. `depth`: of the source's module."""
    source = re.sub(r"//.*", "", source)
    source = re.split(r"#\[cfg\(test\)\]\s*mod \w+ {", source)[0]
    roots = "|".join([r"\bcrate::", rf"(?<!::)\b(?:super::){{{depth}}}(?!super)"])
    for match in re.finditer(rf"(?:{roots})([\w:]*)(\{{[^;]*)?", source):
        path, group = match.groups()
        if path or group is None:
            yield path
        else:
            # Members of `crate::{...}`; nested groups are removed first.
            while (flat := re.sub(r"::\{[^{}]*\}", "", group)) != group:
                group = flat
            yield from re.findall(r"\w[\w:]*", group.partition("}")[0])


def find_cycle(graph: dict[str, set[str]]) -> list[str]:
    """Returns a cycle as nodes, the first one again at the end; or an empty list."""
    done: set[str] = set()

    def visit(node: str, trail: list[str]) -> list[str]:
        if node in trail:
            return [*trail[trail.index(node) :], node]
        if node in done:
            return []
        for target in sorted(graph[node]):
            if found := visit(target, [*trail, node]):
                return found
        done.add(node)
        return []

    return next((found for node in sorted(graph) if (found := visit(node, []))), [])


def test_paths_of_rust_source_are_found() -> None:
    source = """
        use crate::time;
        use crate::{frame::Frame, packet::{ip, tcp::{self, Flags}}, stages};
        use super::super::aead::Sealer;
        use super::neighbour;
        // use crate::commented;
        fn f() -> crate::buffer::Buffer { crate::bpf::run() }
        #[cfg(test)]
        mod tests { use crate::tested; }
    """
    paths = [
        "time",
        "frame::Frame",
        "packet",
        "stages",
        "aead::Sealer",
        "buffer::Buffer",
        "bpf::run",
    ]
    assert list(crate_paths(source, depth=2)) == paths


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("pyfw", {"asyncio", "pyfw._native", "click", "msgspec", "structlog", "pyroute2"}),
        ("pyfw.cli.wg", {"asyncio", "pyfw._native", "click", "msgspec", "structlog", "pyroute2"}),
        ("pyfw.cli.group", {"asyncio", "pyfw._native", "msgspec", "structlog", "pyroute2"}),
        # Before the fork, see pyfw.cli.background.
        ("pyfw.cli.up", {"asyncio", "pyfw._native", "structlog", "pyroute2"}),
        ("pyfw.config", {"asyncio", "pyfw._native", "structlog", "pyroute2"}),
        ("pyfw.cli.genkey", {"asyncio", "msgspec", "structlog", "pyroute2"}),
        ("pyfw.control.uapi.client", {"asyncio", "pyfw._native", "structlog", "pyroute2"}),
        ("pyfw.control.daemon", {"scapy"}),
        ("pyfw.stages.load", {"scapy", "numpy", "pyroute2"}),
    ],
)
def test_a_module_loads_only_what_it_needs(module: str, unwanted: set[str]) -> None:
    script = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert not unwanted & set(done.stdout.split())


def test_all_public_names_can_be_imported() -> None:
    import pyfw

    for name in pyfw.__all__:
        assert getattr(pyfw, name) is not None
    with pytest.raises(AttributeError):
        _ = pyfw.no_such_name
