import subprocess
import sys
import textwrap

import pytest

from pyfw.cli import wg


def child(script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs pyfw-wg with the Daemon that `script` defines."""
    body = textwrap.dedent(script) + textwrap.dedent("""
        import os, sys, types
        assert "asyncio" not in sys.modules and "pyfw._native" not in sys.modules
        control = types.ModuleType("pyfw.control")
        control.exit_status = types.SimpleNamespace(OK=0, FAILED=1, USAGE=2)
        control.Daemon, control.StartFailed, control.serve = Daemon, StartFailed, serve
        control.run_service = lambda serving: __import__("asyncio").run(serving)
        sys.modules["pyfw.control"] = control
        from pyfw.cli import wg
        assert "asyncio" not in sys.modules and "pyfw._native" not in sys.modules
        sys.exit(wg.run(["wg0"], os.environ))
    """)
    return subprocess.run(
        [sys.executable, "-c", body],
        env={"PATH": "", **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


DAEMON = """
    class Daemon:
        def __init__(self, name, *, tun_fd, uapi_fd):
            self.name = name

    class StartFailed(Exception):
        def __init__(self, error):
            self.error = error

    async def serve(daemons, *, on_ready):
        assert [daemon.name for daemon in daemons] == ["wg0"]
        {run}
"""


@pytest.mark.parametrize("arguments", [[], ["-f"], ["wg0", "wg1"], ["-x", "wg0"], ["--hlep"]])
def test_an_invalid_command_line_is_a_usage_error(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert wg.run(arguments, {}) == 2
    assert capsys.readouterr().err == f"{wg.USAGE}\n"


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_names_all_environment_variables(
    option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert wg.run([option], {}) == 0
    output = capsys.readouterr().out
    assert output.startswith(wg.USAGE)
    assert all(name in output for name in ("WG_TUN_FD", "WG_UAPI_FD", "WG_PROCESS_FOREGROUND"))


def test_the_parent_exits_with_0_once_the_daemon_is_ready() -> None:
    done = child(DAEMON.format(run="on_ready(); return 0"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_an_error_of_the_daemon_is_printed() -> None:
    done = child(DAEMON.format(run="raise StartFailed(OSError(16, 'Device or resource busy'))"))
    assert done.returncode == 1
    assert done.stderr == "pyfw-wg: cannot run wg0: Device or resource busy\n"


def test_a_daemon_that_exits_without_a_report_is_an_error() -> None:
    done = child(DAEMON.format(run="import os; os._exit(3)"))
    assert done.returncode == 1
    assert done.stderr == "pyfw-wg: the daemon exited before it reported ready\n"


def test_in_the_foreground_the_status_is_the_daemons() -> None:
    done = child(DAEMON.format(run="on_ready(); return 70"), WG_PROCESS_FOREGROUND="1")
    assert done.returncode == 70


def test_an_invalid_descriptor_is_an_error() -> None:
    done = child(DAEMON.format(run="return 0"), WG_TUN_FD="three")
    assert done.returncode == 1
    assert (
        done.stderr
        == "pyfw-wg: cannot run wg0: WG_TUN_FD=three: expected the number of a descriptor\n"
    )
