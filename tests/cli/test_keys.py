import base64
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from pyfw.cli.group import group

PYFW = [sys.executable, "-c", "from pyfw.cli import main; main()"]


def pyfw(*arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*PYFW, *arguments], input=stdin, capture_output=True, timeout=60)


def test_genkey_prints_a_clamped_key() -> None:
    done = pyfw("genkey")
    assert (done.returncode, done.stderr) == (0, b"")
    raw = base64.b64decode(done.stdout.removesuffix(b"\n"), validate=True)
    assert len(raw) == 32
    assert raw[0] & 7 == 0
    assert raw[31] & 0xC0 == 0x40


def test_genpsk_prints_a_new_key_each_time() -> None:
    assert len({pyfw("genpsk").stdout for _ in range(3)}) == 3


def test_pubkey_matches_rfc_7748() -> None:
    # RFC 7748 section 5.2: 9 times the base point, after one iteration
    done = pyfw("pubkey", stdin=base64.b64encode(b"\x09" + bytes(31)))
    public = "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079"
    assert base64.b64decode(done.stdout).hex() == public


INPUTS = [
    b"",
    b"foo\n",
    b"A" * 44,
    base64.b64encode(bytes(range(32))),
    base64.b64encode(bytes(range(32))) + b"\n",
    base64.b64encode(bytes(range(32))) + b" \t\n\0\n",
    base64.b64encode(bytes(range(32))) + b"\nx",
    b" " + base64.b64encode(bytes(range(32))),
    base64.b64encode(bytes(range(32)))[:-2] + b"9=",
    b"\xff" * 50,
]


@pytest.mark.skipif(shutil.which("wg") is None, reason="wg is not installed")
@pytest.mark.parametrize("stdin", INPUTS)
def test_pubkey_equals_wg_pubkey(stdin: bytes) -> None:
    theirs = subprocess.run(["wg", "pubkey"], input=stdin, capture_output=True, timeout=60)
    ours = CliRunner().invoke(group, ["pubkey"], input=stdin)
    assert (ours.exit_code, ours.stdout_bytes) == (theirs.returncode, theirs.stdout)
    assert ours.stderr_bytes == theirs.stderr.replace(b"wg: ", b"pyfw: ")


@pytest.mark.parametrize(("mode", "warned"), [(0o600, False), (0o644, True)])
def test_genkey_warns_if_others_can_read_the_file(tmp_path: Path, mode: int, warned: bool) -> None:
    path = tmp_path / "key"
    with os.fdopen(os.open(path, os.O_CREAT | os.O_WRONLY, mode), "wb") as file:
        os.fchmod(file.fileno(), mode)
        done = subprocess.run([*PYFW, "genkey"], stdout=file, stderr=subprocess.PIPE, timeout=60)
    assert (b"world accessible" in done.stderr) is warned
    assert len(path.read_bytes()) == 45


def test_a_full_disk_is_an_error() -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run([*PYFW, "genkey"], stdout=full, stderr=subprocess.PIPE, timeout=60)
    assert (done.returncode, done.stderr) == (1, b"pyfw: No space left on device\n")
