"""Runs PreUp, PostUp, PreDown and PostDown as wg-quick does.

Each hook runs in a bash of its own that stops at the first failing command. `%i` is replaced by the
interface's name. Hooks inherit the environment, standard input and output.
"""

import asyncio
import os
import signal
from collections.abc import Sequence

from pyfw.control.host.step_reporter import StepReporter

_SHELL = ("bash", "-e", "-o", "pipefail", "-O", "extglob", "-c")
# Between SIGTERM and SIGKILL.
_TERMINATE_TIMEOUT_S = 2.0


class HookFailed(OSError):
    """A hook exited with a status other than 0."""


async def run(key: str, hooks: Sequence[str], interface: str, steps: StepReporter) -> None:
    """Runs hooks in order and stops at the first that fails. Raises HookFailed.

    key: PreUp, PostUp, … for the error message. If cancelled, ends the running hook.
    """
    for hook in hooks:
        command = hook.replace("%i", interface)
        steps.step(command)
        await _run_one(key, command)


async def _run_one(key: str, command: str) -> None:
    try:
        process = await asyncio.create_subprocess_exec(
            *_SHELL,
            command,
            env={**os.environ, "LC_ALL": "C"},
        )
    except FileNotFoundError as error:
        raise HookFailed(error.errno, f"{key} needs bash, which is not installed") from None
    try:
        status = await process.wait()
    except asyncio.CancelledError:
        if process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), _TERMINATE_TIMEOUT_S)
            except TimeoutError:
                process.kill()
                await process.wait()
        raise
    if status != 0:
        reason = f"exit {status}" if status > 0 else signal.Signals(-status).name
        raise HookFailed(f"{key} failed ({reason}): {command}")
