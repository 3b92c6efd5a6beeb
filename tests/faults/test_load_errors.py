"""A stage that cannot be imported or started: told at its line, and nothing is begun, or nothing changed."""

import re
from collections.abc import Iterator

import pytest

from lab import Network, pyfw_run, unavailable
from pyfw.demo.pair import Keys
from tests.faults.conftest import MakeStaged
from tests.faults.staged_tunnel import SETTINGS_FILE, STAGE_FILE, settings_of, wait_until

GOOD = """
    import pyfw

    class It(pyfw.Stage):
        def process(self, batch):
            self.count("frames", len(batch))
"""

BEGIN = "import pyfw\n\nclass It(pyfw.Stage):\n"

WRONG: dict[str, tuple[int, str, str]] = {
    "syntax": (4, "SyntaxError", f"{BEGIN}    if x\n"),
    "indentation": (4, "IndentationError", f"{BEGIN}x = 1\n"),
    "a NUL": (0, "", f"{BEGIN}    x = '\0'\n"),
    "no such module": (2, "ModuleNotFoundError", "import pyfw\nimport no_such_module\n"),
    "a name": (1, "NameError", "class It(pyfw.Stage):\n    pass\n"),
    "raises": (2, "ZeroDivisionError", "import pyfw\n1 / 0\n"),
    "SystemExit": (2, "SystemExit", "import sys\nsys.exit(0)\n"),
    "KeyboardInterrupt": (1, "KeyboardInterrupt", "raise KeyboardInterrupt\n"),
    "MemoryError": (1, "MemoryError", "bytes(1 << 60)\n"),
    "RecursionError": (2, "RecursionError", "def endless():\n    endless()\nendless()\n"),
    "another class": (0, "has no It", f"{BEGIN.replace('It', 'Other')}    pass\n"),
    "no stage": (1, "no stage", "class It:\n    pass\n"),
    "__init__": (5, "TypeError", f"{BEGIN}    def __init__(self, options):\n        len(3)\n"),
    "start": (5, "ValueError", f"{BEGIN}    def start(self):\n        raise ValueError\n"),
    "start exits": (5, "SystemExit", f"{BEGIN}    def start(self):\n        raise SystemExit(0)\n"),
    "an attribute": (3, "on_error", f"{BEGIN}    on_error = 'explode'\n"),
    "a filter": (3, "filter", f"{BEGIN}    filter = 'tcp prt 3'\n"),
}
wrong = pytest.mark.parametrize(("line", "words", "source"), WRONG.values(), ids=WRONG)


@pytest.fixture(scope="module")
def shared() -> Iterator[Network]:
    if reason := unavailable():
        pytest.skip(f"no namespaces: {reason}")
    with Network() as network:
        yield network


def wanted(line: int, words: str) -> str:
    """What is to be read: the place in the source, or where the operator asked for it."""
    where = rf"/run/stage\.py:{line}: " if line else r"/run/(stage\.py|wg0\.pyfw\.toml:3)"
    return f"{where}.*{words}"


@wrong
def test_at_start_it_is_exit_status_2_with_file_and_line_and_nothing_is_left(
    shared: Network, line: int, words: str, source: str
) -> None:
    at = shared.gateway
    conf = f"[Interface]\nPrivateKey = {Keys.generate().private}\nAddress = 10.9.0.1/24\n"
    at.write("/run/wg0.conf", conf)
    at.write(SETTINGS_FILE, settings_of(""))
    at.write(STAGE_FILE, source)
    done = at.run(*pyfw_run().command, check=False, timeout_s=20)
    assert done.returncode == 2, done.stderr
    assert re.search(f"^pyfw: {wanted(line, words)}", done.stderr, re.MULTILINE), done.stderr
    assert "Traceback" not in done.stderr
    assert "wg0" not in at.ip("-brief", "link")
    assert at.run("ls", "/run/wireguard").stdout == ""


def test_at_a_reload_it_is_told_with_file_and_line_and_the_old_one_goes_on_without_a_loss(
    make_staged: MakeStaged,
) -> None:
    staged = make_staged(GOOD)
    staged.ping()
    with staged.stream() as stream:
        for name, (line, words, source) in WRONG.items():
            before = staged.it["calls"]
            assert not staged.reload(source), name
            told = staged.said("reload.refused")[-1]["reason"]
            assert re.match(wanted(line, words), told), (name, told)
            wait_until(lambda: staged.it["calls"] > before, 5)  # noqa: B023
        assert staged.reload(GOOD)
    staged.unharmed(stream)
    it = staged.it
    assert (it["failures"], it["drops"]) == (0, {})
    # None of them was missed: not one call went by while another version was tried.
    assert it["own"]["frames"] == it["frames"]
    assert it["segments"] >= stream.up.sent + stream.down.sent > 600
    assert len(staged.said("reload.refused")) == len(WRONG)
