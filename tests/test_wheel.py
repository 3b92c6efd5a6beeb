"""The release wheel, in an environment without this checkout."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(900),
    pytest.mark.skipif(shutil.which("cargo") is None, reason="cargo is not installed"),
]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    maturin = Path(sys.executable).with_name("maturin")
    if not maturin.exists():
        pytest.skip("maturin is not installed")
    command = [str(maturin), "build", "--quiet", "--locked", "--release", "--out", str(out)]
    subprocess.run(command, cwd=ROOT, check=True)
    (built,) = out.glob("*.whl")
    return built


def test_a_wheel_holds_only_the_package(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0].partition("-")[0] for name in names} == {"pyfw", "pyfw_dataplane"}
    assert "pyfw/_native.abi3.so" in names
    assert "pyfw/py.typed" in names
    assert "pyfw/_native.pyi" in names
    assert not [name for name in names if name.endswith((".pyc", ".rs"))]


def test_a_wheel_runs_in_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    environment = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    pip = [str(environment / "bin/pip"), "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run(
        [*pip, "-c", str(ROOT / "constraints.txt"), str(wheel)], check=True, cwd=tmp_path
    )
    key = subprocess.run(
        [environment / "bin/pyfw", "genkey"], check=True, capture_output=True, cwd=tmp_path
    )
    assert len(key.stdout) == 45
    # Wheels are built without the cargo feature `bench`.
    script = """
import os
import pyfw, pyfw._native as n
assert not hasattr(n, "cipher_cost") and not hasattr(n, "passthrough")
tun, udp = os.pipe()
try:
    n.Engine(tun_fd=tun, udp_fds=(udp, -1), listen_port=0, cipher="off")
except ValueError as error:
    print(error)
print(pyfw.Tunnel, n.build_profile)
"""
    done = subprocess.run(
        [environment / "bin/python", "-c", script],
        check=True,
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.stdout.startswith("unknown cipher")
    assert done.stdout.split()[-1] == "release"
