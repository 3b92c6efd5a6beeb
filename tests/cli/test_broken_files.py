"""`pyfw run --check` on files that are wrong: exit 2, all that is wrong, and where; never a traceback."""

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
_EDITS = 500
_PROCESSES = 12


def write(directory: Path, conf: bytes, toml: bytes) -> Path:
    path = directory / "wg0.conf"
    path.write_bytes(conf)
    path.chmod(0o600)
    (directory / "wg0.pyfw.toml").write_bytes(toml)
    return path


def check(path: Path) -> Result:
    return CliRunner().invoke(group, ["run", "--check", str(path)])


def test_the_valid_pair_is_valid(tmp_path: Path) -> None:
    done = check(write(tmp_path, CONF.encode(), TOML.encode()))
    assert (done.exit_code, done.stdout) == (0, "")


def test_no_key_is_left_out_here() -> None:
    assert conf_keys() == {*INTERFACE_KEYS, *PEER_KEYS}
    assert toml_keys() == {key.rpartition(".")[2] for key in settings.KEYS}


@pytest.mark.parametrize("broken", BROKEN, ids=[one.how for one in BROKEN])
def test_a_broken_key_is_exit_2_with_file_line_key_and_what_would_be_right(
    tmp_path: Path, broken: Broken
) -> None:
    done = check(write(tmp_path, broken.conf.encode(), broken.toml.encode()))
    assert done.exit_code == 2, done.output
    told = [line.removeprefix("pyfw: ") for line in done.stderr.splitlines()]
    place = f"{tmp_path / broken.file}:{broken.line}: "
    named = (f"{place}{broken.key}: ", f"{place}[{broken.key}]: ")
    ours = [line for line in told if line.startswith(named)]
    assert len(ours) == 1, done.stderr
    assert broken.hint in ours[0]
    # One fault is told once.
    assert len(told) == 1 or "in [" in broken.how, done.stderr


def test_all_errors_of_both_files_are_told_at_once(tmp_path: Path) -> None:
    conf = CONF.replace("51820\nFwMark", "70000\nFwMarc").replace("25", "often")
    toml = TOML.replace("1\n", "1\nthreads = 2\n", 1).replace('"auto"', "auto").replace("uso", "us")
    done = check(write(tmp_path, conf.encode(), toml.encode()))
    assert done.exit_code == 2
    told = [line.split(": ")[1:3] for line in done.stderr.splitlines()]
    assert told == [
        [f"{tmp_path}/wg0.conf:3", "ListenPort"],
        [f"{tmp_path}/wg0.conf:4", "FwMarc"],
        [f"{tmp_path}/wg0.conf:20", "PersistentKeepalive"],
        [f"{tmp_path}/wg0.pyfw.toml:2", "threads"],
        [f"{tmp_path}/wg0.pyfw.toml:3", "cipher"],
        [f"{tmp_path}/wg0.pyfw.toml:14", "offloads.us"],
    ]


def edited(seed: int) -> tuple[bytes, bytes]:
    """The valid pair with two bytes of one file, anywhere, replaced by any two."""
    source = random.Random(seed)
    files = [bytearray(CONF.encode()), bytearray(TOML.encode())]
    file = files[source.randrange(2)]
    for _ in range(2):
        # Half of them printable: others mostly end at "not UTF-8".
        byte = source.randrange(256) if source.random() < 0.5 else source.choice(b'\n=[]"#.,: a1')
        file[source.randrange(len(file))] = byte
    return bytes(files[0]), bytes(files[1])


def test_random_edits_are_taken_or_refused_and_never_a_traceback(tmp_path: Path) -> None:
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


def test_random_edits_through_real_processes_end_with_0_or_2(tmp_path: Path) -> None:
    script = Path(sys.executable).with_name("pyfw")
    for seed in range(_EDITS, _EDITS + _PROCESSES):
        path = write(tmp_path, *edited(seed))
        done = subprocess.run([script, "run", "--check", path], capture_output=True, text=True)
        assert done.returncode in (0, 2), (seed, done.stderr)
        assert "Traceback" not in done.stderr, seed
        assert (done.returncode == 2) == ("wg0.conf:" in done.stderr or "toml:" in done.stderr)


@pytest.mark.parametrize("name", ["wg0.conf", "wg0.pyfw.toml"])
def test_a_file_that_begins_with_a_byte_order_mark_is_told_so(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, CONF.encode(), TOML.encode())
    file = tmp_path / name
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    done = check(path)
    assert done.exit_code == 2
    assert done.stderr == f"pyfw: {file}:1: begins with a byte order mark; save it without\n"


def test_a_secret_that_others_may_read_is_warned_of(tmp_path: Path) -> None:
    path = write(tmp_path, CONF.encode(), TOML.encode())
    path.chmod(0o644)
    tmp_path.chmod(0o755)
    done = check(path)
    assert done.exit_code == 0
    assert f"pyfw: warning: {path}: world accessible; chmod 600 wg0.conf\n" in done.stderr
