"""hooks: run by bash, as by wg-quick."""

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


def test_hooks_run_in_order_and_are_reported(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    run(f"echo first %i >> {out}", f"echo %i %i second >> {out}; echo seen")
    assert out.read_text() == "first wg7\nwg7 wg7 second\n"
    captured = capfd.readouterr()
    assert captured.out == "seen\n"
    assert captured.err.splitlines() == [
        f"[#] echo first wg7 >> {out}",
        f"[#] echo wg7 wg7 second >> {out}; echo seen",
    ]


@pytest.mark.parametrize(
    ("failing", "reason"),
    [("false; true", "exit 1"), ("(exit 4) | cat", "exit 4"), ("kill -TERM $$", "SIGTERM")],
)
def test_hooks_stop_at_the_first_failure(tmp_path: Path, failing: str, reason: str) -> None:
    out = tmp_path / "out"
    with pytest.raises(hooks.HookFailed) as failed:
        run(failing, f"touch {out}")
    assert str(failed.value) == f"PostUp failed ({reason}): {failing}"
    assert not out.exists()


def test_hooks_may_use_the_syntax_of_bash(capfd: pytest.CaptureFixture[str]) -> None:
    run('[[ wg7 == @(wg7|x) ]] && cat <(echo "$LC_ALL")')
    assert capfd.readouterr().out == "C\n"


def test_each_hook_has_a_shell_of_its_own(capfd: pytest.CaptureFixture[str]) -> None:
    run("x=1; cd /", 'echo "${x-unset}"; pwd')
    assert capfd.readouterr().out.splitlines() == ["unset", os.getcwd()]  # noqa: PTH109


def test_a_missing_bash_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(hooks.HookFailed, match="PostUp needs bash, which is not installed"):
        run("true")


@pytest.mark.parametrize("timeout_s", [2.0, 0.01])
def test_a_cancelled_hook_is_terminated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, timeout_s: float
) -> None:
    monkeypatch.setattr(hooks, "_TERMINATE_TIMEOUT_S", timeout_s)
    started = tmp_path / "fifo"
    os.mkfifo(started)
    # The second ignores SIGTERM, and must be killed.
    ignore = "trap '' TERM; " if timeout_s < 1 else ""

    async def cancel() -> int:
        slow = f"{ignore}echo $$ > {started}; exec sleep 60"
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
