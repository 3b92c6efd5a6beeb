"""up, down, save, strip: errors and exit statuses. See tests/interop for the rest."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pyfw.cli import privileges
from pyfw.cli.group import group
from pyfw.control.host import undo_log
from pyfw.control.uapi import socket_path

GOOD = "[Interface]\nPrivateKey = AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n"


@pytest.fixture(autouse=True)
def directories(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(undo_log, "DIRECTORY", tmp_path / "pyfw")
    monkeypatch.setattr(socket_path, "DIRECTORY", tmp_path / "wireguard")
    monkeypatch.setattr("pyfw.cli.down.become_root", lambda: None)
    monkeypatch.setattr("pyfw.cli.up.become_root", lambda: None)
    monkeypatch.setattr("pyfw.cli.save.become_root", lambda: None)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "wg0.conf"
    path.write_text(GOOD)
    path.chmod(0o600)
    return path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(group, [str(argument) for argument in arguments])


@pytest.mark.parametrize("command", ["run", "up", "save", "strip"])
def test_all_errors_of_a_file_are_reported(path: Path, command: str) -> None:
    path.write_text("[Interface]\nPrivateKey = x\nMTU = 1\n")
    done = run(command, path)
    assert done.exit_code == 2
    assert f"{path}:2: PrivateKey" in done.stderr
    assert f"{path}:3: MTU" in done.stderr
    assert not undo_log.DIRECTORY.exists()


@pytest.mark.parametrize("command", ["run", "up", "save", "strip"])
def test_a_missing_file_is_an_error(tmp_path: Path, command: str) -> None:
    done = run(command, tmp_path / "wg0.conf")
    assert done.exit_code == 1
    assert "No such file or directory" in done.stderr


@pytest.mark.parametrize("command", ["down", "save"])
def test_a_tunnel_that_is_not_up_is_an_error(path: Path, command: str) -> None:
    done = run(command, path)
    assert done.exit_code == 1
    assert "wg0 is not up: no daemon answers for it" in done.stderr


@pytest.mark.parametrize("command", ["run", "up", "down", "save", "strip"])
def test_a_missing_argument_is_a_usage_error(command: str) -> None:
    assert run(command).exit_code == 2


def test_strip_prints_a_file_with_errors(path: Path) -> None:
    path.write_bytes(GOOD.encode() + b"MTU = x\nListenPort = \xff\n")
    done = run("strip", path)
    assert done.exit_code == 2
    assert done.stdout_bytes == GOOD.encode() + b"ListenPort = \xff\n\n"
    assert "not UTF-8" in done.stderr


def test_strip_removes_the_keys_of_wg_quick(path: Path) -> None:
    path.write_text(GOOD + "Address = 10.0.0.1/24\nListenPort = 7\n")
    done = run("strip", path)
    assert (done.exit_code, done.stdout) == (0, GOOD + "ListenPort = 7\n\n")


@pytest.mark.parametrize("capable", [True, False])
def test_without_cap_net_admin_sudo_is_executed(
    monkeypatch: pytest.MonkeyPatch, capable: bool
) -> None:
    executed: list[list[str]] = []
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr(privileges, "_has_net_admin", lambda: capable)
    monkeypatch.setattr("shutil.which", lambda command: f"/usr/bin/{Path(command).name}")
    monkeypatch.setattr("sys.argv", ["pyfw", "up", "wg0"])
    monkeypatch.setattr("os.execvp", lambda _file, arguments: executed.append(arguments))
    privileges.become_root()
    expected = [] if capable else [["--", "/usr/bin/pyfw", "up", "wg0"]]
    assert [arguments[-4:] for arguments in executed] == expected


def test_cap_net_admin_is_read_from_proc() -> None:
    status = Path("/proc/self/status").read_text()
    effective = next(line.split()[1] for line in status.splitlines() if line.startswith("CapEff"))
    assert privileges._has_net_admin() is bool(int(effective, 16) & 1 << 12)
