"""`pyfw run --check` on broken files: exit status 2, all errors with their places, never a traceback."""

import random
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pyfw.cli.group import group
from pyfw.config import settings
from pyfw.config.wg_quick import INTERFACE_KEYS, PEER_KEYS
from tests.config.broken_files import CONF, TOML, Broken, all_broken, conf_keys, toml_keys

BROKEN = list(all_broken())
_EDITS = 250
_PROCESSES = 4


def write(directory: Path, conf: bytes, toml: bytes) -> Path:
    path = directory / "wg0.conf"
    path.write_bytes(conf)
    path.chmod(0o600)
    (directory / "wg0.pyfw.toml").write_bytes(toml)
    return path


def check(path: Path) -> Result:
    return CliRunner().invoke(group, ["run", "--check", str(path)])


def test_the_original_files_are_valid(tmp_path: Path) -> None:
    done = check(write(tmp_path, CONF.encode(), TOML.encode()))
    assert (done.exit_code, done.stdout) == (0, "")


def test_all_keys_are_covered() -> None:
    assert conf_keys() == {*INTERFACE_KEYS, *PEER_KEYS}
    assert toml_keys() == {key.rpartition(".")[2] for key in settings.KEYS}


@pytest.mark.parametrize("broken", BROKEN, ids=[one.how for one in BROKEN])
def test_errors_name_file_line_and_key(tmp_path: Path, broken: Broken) -> None:
    done = check(write(tmp_path, broken.conf.encode(), broken.toml.encode()))
    assert done.exit_code == 2, done.output
    lines = [line.removeprefix("pyfw: ") for line in done.stderr.splitlines()]
    place = f"{tmp_path / broken.file}:{broken.line}: "
    starts = (f"{place}{broken.key}: ", f"{place}[{broken.key}]: ") if broken.key else place
    (line,) = (line for line in lines if line.startswith(starts))
    assert broken.hint in line
    # In the wrong section, the key may also be missing in the right one.
    assert len(lines) == 1 or "in [" in broken.how, done.stderr


def test_errors_of_both_files_are_reported_at_once(tmp_path: Path) -> None:
    conf = CONF.replace("51820\nFwMark", "70000\nFwMarc").replace("25", "often")
    toml = TOML.replace('"auto"', '"none"').replace("uso", "us")
    done = check(write(tmp_path, conf.encode(), toml.encode()))
    assert done.exit_code == 2
    places = [line.split(": ")[1:3] for line in done.stderr.splitlines()]
    assert places == [
        [f"{tmp_path}/wg0.conf:3", "ListenPort"],
        [f"{tmp_path}/wg0.conf:4", "FwMarc"],
        [f"{tmp_path}/wg0.conf:20", "PersistentKeepalive"],
        [f"{tmp_path}/wg0.pyfw.toml:2", "cipher"],
        [f"{tmp_path}/wg0.pyfw.toml:11", "offloads.us"],
    ]


def edited(seed: int) -> tuple[bytes, bytes]:
    """Returns the valid pair with two random bytes of one file replaced."""
    source = random.Random(seed)
    files = [bytearray(CONF.encode()), bytearray(TOML.encode())]
    file = files[source.randrange(2)]
    for _ in range(2):
        # Half of them are printable: others mostly end at "not UTF-8".
        byte = source.randrange(256) if source.random() < 0.5 else source.choice(b'\n=[]"#.,: a1')
        file[source.randrange(len(file))] = byte
    return bytes(files[0]), bytes(files[1])


def test_random_edits_never_cause_a_traceback(tmp_path: Path) -> None:
    statuses = []
    for seed in range(_EDITS):
        done = check(write(tmp_path, *edited(seed)))
        assert done.exception is None or isinstance(done.exception, SystemExit), seed
        assert done.exit_code in (0, 2), seed
        if done.exit_code == 2:
            assert all(
                line.startswith(f"pyfw: {tmp_path}/wg0.") for line in done.stderr.splitlines()
            ), (seed, done.stderr)
            assert done.stderr, seed
        statuses.append(done.exit_code)
    assert set(statuses) == {0, 2}


def test_random_edits_in_real_processes_exit_with_0_or_2(tmp_path: Path) -> None:
    script = Path(sys.executable).with_name("pyfw")
    for seed in range(_EDITS, _EDITS + _PROCESSES):
        path = write(tmp_path, *edited(seed))
        done = subprocess.run([script, "run", "--check", path], capture_output=True, text=True)
        assert done.returncode in (0, 2), (seed, done.stderr)
        assert "Traceback" not in done.stderr, seed
        assert (done.returncode == 2) == ("wg0.conf:" in done.stderr or "toml:" in done.stderr)
