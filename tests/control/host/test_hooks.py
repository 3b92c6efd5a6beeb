"""Hooks, run by bash as wg-quick runs them."""

import asyncio
import os
import shutil
from pathlib import Path

import pytest

from pyfw.control.host import hooks
from pyfw.control.host.step_reporter import StepReporter

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")


def run(*lines: str) -> None:
    asyncio.run(hooks.run("PostUp", lines, "wg7", StepReporter("wg7", to_terminal=True)))


def test_they_run_in_order_with_the_interfaces_name_and_are_told(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    run(f"echo first %i >> {out}", f"echo %i %i second >> {out}; echo seen")
    assert out.read_text() == "first wg7\nwg7 wg7 second\n"
    told = capfd.readouterr()
    assert told.out == "seen\n"
    assert told.err.splitlines() == [
        f"[#] echo first wg7 >> {out}",
        f"[#] echo wg7 wg7 second >> {out}; echo seen",
    ]


@pytest.mark.parametrize(
    ("failing", "how"),
    [("false; true", "exit 1"), ("(exit 4) | cat", "exit 4"), ("kill -TERM $$", "SIGTERM")],
)
def test_the_first_that_fails_is_the_last_one(tmp_path: Path, failing: str, how: str) -> None:
    out = tmp_path / "out"
    with pytest.raises(hooks.HookFailed) as failed:
        run(failing, f"touch {out}")
    assert str(failed.value) == f"PostUp failed ({how}): {failing}"
    assert not out.exists()


def test_bash_is_what_it_is_written_in(capfd: pytest.CaptureFixture[str]) -> None:
    run('[[ wg7 == @(wg7|x) ]] && cat <(echo "$LC_ALL")')
    assert capfd.readouterr().out == "C\n"


def test_each_has_a_shell_of_its_own(capfd: pytest.CaptureFixture[str]) -> None:
    run("x=1; cd /", 'echo "${x-unset}"; pwd')
    assert capfd.readouterr().out.splitlines() == ["unset", os.getcwd()]  # noqa: PTH109


def test_where_bash_is_missing_that_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(hooks.HookFailed, match="PostUp needs bash, which is not installed"):
        run("true")


@pytest.mark.parametrize("patience_s", [2.0, 0.01])
def test_one_that_is_cancelled_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, patience_s: float
) -> None:
    monkeypatch.setattr(hooks, "_PATIENCE_S", patience_s)
    started = tmp_path / "fifo"
    os.mkfifo(started)
    # The second does not end when it is asked to.
    stubborn = "trap '' TERM; " if patience_s < 1 else ""

    async def cancel() -> int:
        slow = f"{stubborn}echo $$ > {started}; exec sleep 60"
        task = asyncio.ensure_future(
            hooks.run("PreUp", [slow], "wg7", StepReporter("wg7", to_terminal=True))
        )
        pid = int(await asyncio.to_thread(started.read_text))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return pid

    pid = asyncio.run(cancel())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
