"""Stages that cannot be imported or started: the error names the line, and nothing starts or changes."""

import re
from collections.abc import Iterator

import pytest

from lab import Network, pyfw_run, unavailable
from pyfw.demo.pair import Keys
from tests.faults.conftest import MakeTunnel
from tests.faults.staged_tunnel import SETTINGS_FILE, STAGE_FILE, settings_of, wait_until

GOOD = """
    import pyfw

    class It(pyfw.Stage):
        def process(self, batch):
            self.count("frames", len(batch))

        def handover(self):
            return {}
"""

HEAD = "import pyfw\n\nclass It(pyfw.Stage):\n"

ERRORS: dict[str, tuple[int, str, str]] = {
    "syntax": (4, "SyntaxError", f"{HEAD}    if x\n"),
    "indentation": (4, "IndentationError", f"{HEAD}x = 1\n"),
    "a NUL": (0, "", f"{HEAD}    x = '\0'\n"),
    "no such module": (2, "ModuleNotFoundError", "import pyfw\nimport no_such_module\n"),
    "a name": (1, "NameError", "class It(pyfw.Stage):\n    pass\n"),
    "raises": (2, "ZeroDivisionError", "import pyfw\n1 / 0\n"),
    "SystemExit": (2, "SystemExit", "import sys\nsys.exit(0)\n"),
    "KeyboardInterrupt": (1, "KeyboardInterrupt", "raise KeyboardInterrupt\n"),
    "MemoryError": (1, "MemoryError", "bytes(1 << 60)\n"),
    "RecursionError": (2, "RecursionError", "def endless():\n    endless()\nendless()\n"),
    "another class": (0, "has no It", f"{HEAD.replace('It', 'Other')}    pass\n"),
    "not a stage": (1, "not a stage", "class It:\n    pass\n"),
    "__init__": (5, "TypeError", f"{HEAD}    def __init__(self, options):\n        len(3)\n"),
    "start": (5, "ValueError", f"{HEAD}    def start(self):\n        raise ValueError\n"),
    "start exits": (5, "SystemExit", f"{HEAD}    def start(self):\n        raise SystemExit(0)\n"),
    "an attribute": (3, "on_error", f"{HEAD}    on_error = 'explode'\n"),
    "a filter": (3, "filter", f"{HEAD}    filter = 'tcp prt 3'\n"),
}
RELOAD_ERRORS = {
    **ERRORS,
    "takeover": (
        5,
        "ValueError",
        f"{HEAD}    def takeover(self, state):\n        raise ValueError\n",
    ),
}
errors = pytest.mark.parametrize(("line", "message", "source"), ERRORS.values(), ids=ERRORS)


@pytest.fixture(scope="module")
def shared() -> Iterator[Network]:
    if reason := unavailable():
        pytest.skip(f"no namespaces: {reason}")
    with Network() as network:
        yield network


def pattern(line: int, message: str) -> str:
    """Matches an error at that line of the source; 0: at any line, or at the table."""
    where = rf"/run/stage\.py:{line}: " if line else r"/run/(stage\.py|wg0\.pyfw\.toml:3)"
    return f"{where}.*{message}"


@errors
def test_an_error_at_start_exits_with_status_2_and_no_trace(
    shared: Network, line: int, message: str, source: str
) -> None:
    at = shared.gateway
    conf = f"[Interface]\nPrivateKey = {Keys.generate().private}\nAddress = 10.9.0.1/24\n"
    at.write("/run/wg0.conf", conf)
    at.write(SETTINGS_FILE, settings_of(""))
    at.write(STAGE_FILE, source)
    done = at.run(*pyfw_run().command, check=False, timeout_s=20)
    assert done.returncode == 2, done.stderr
    assert re.search(f"^pyfw: {pattern(line, message)}", done.stderr, re.MULTILINE), done.stderr
    assert "Traceback" not in done.stderr
    assert "wg0" not in at.ip("-brief", "link")
    assert at.run("ls", "/run/wireguard").stdout == ""


def test_an_error_at_a_reload_keeps_the_old_stage_running(
    make_tunnel: MakeTunnel,
) -> None:
    tunnel = make_tunnel(GOOD)
    tunnel.ping()
    with tunnel.stream() as stream:
        for name, (line, message, source) in RELOAD_ERRORS.items():
            before = tunnel.stage_counts["calls"]
            assert not tunnel.reload(source), name
            reason = tunnel.events("reload.refused")[-1]["reason"]
            assert re.match(pattern(line, message), reason), (name, reason)
            wait_until(lambda: tunnel.stage_counts["calls"] > before, 5)  # noqa: B023
        assert tunnel.reload(GOOD)
    tunnel.assert_unharmed(stream)
    counts = tunnel.stage_counts
    assert (counts["failures"], counts["drops"]) == (0, {})
    # The old stage saw every frame while the new versions were tried.
    assert counts["own"]["frames"] == counts["frames"]
    assert counts["segments"] >= stream.up.sent + stream.down.sent > 600
    assert len(tunnel.events("reload.refused")) == len(RELOAD_ERRORS)
