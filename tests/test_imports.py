"""The rules of design section 4: who may import whom, in Python and in Rust, and what starts fast."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# crate: the crates of the workspace that it may depend on
RUST_RULE = {
    "pyfw-core": set(),
    "pyfw-aead": {"pyfw-core"},
    "pyfw-linux": {"pyfw-core"},
    "pyfw-replay": {"pyfw-core"},
    "pyfw-native": {"pyfw-core", "pyfw-aead", "pyfw-linux", "pyfw-replay"},
    # Only a development dependency of the others.
    "pyfw-testkit": {"pyfw-core"},
}


def test_python_layers_are_kept() -> None:
    lint = Path(sys.executable).with_name("lint-imports")
    if not lint.exists():
        pytest.skip("import-linter is not installed")
    done = subprocess.run(
        [lint, "--no-cache"], cwd=ROOT, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.skipif(shutil.which("cargo") is None, reason="cargo is not installed")
def test_rust_crates_name_only_those_below_them() -> None:
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
    assert found.keys() == RUST_RULE.keys()
    for crate, dependencies in found.items():
        assert dependencies <= RUST_RULE[crate], crate


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("pyfw", {"asyncio", "pyfw._native", "click", "msgspec", "structlog", "pyroute2"}),
        ("pyfw.cli.wg", {"asyncio", "pyfw._native", "click", "msgspec", "structlog", "pyroute2"}),
        ("pyfw.cli.group", {"asyncio", "pyfw._native", "msgspec", "structlog", "pyroute2"}),
        # Up to the fork: see pyfw.cli.background.
        ("pyfw.cli.up", {"asyncio", "pyfw._native", "structlog", "pyroute2"}),
        ("pyfw.config", {"asyncio", "pyfw._native", "structlog", "pyroute2"}),
        ("pyfw.cli.genkey", {"asyncio", "msgspec", "structlog", "pyroute2"}),
        ("pyfw.control.uapi.client", {"asyncio", "pyfw._native", "structlog", "pyroute2"}),
        ("pyfw.control.daemon", {"scapy"}),
        ("pyfw.stages.find", {"scapy", "numpy", "pyroute2"}),
    ],
)
def test_a_module_loads_only_what_it_needs(module: str, unwanted: set[str]) -> None:
    script = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert not unwanted & set(done.stdout.split())


def test_every_public_name_is_there() -> None:
    import pyfw

    for name in pyfw.__all__:
        assert getattr(pyfw, name) is not None
    with pytest.raises(AttributeError):
        _ = pyfw.no_such_name
