"""PreUp, PostUp, PreDown and PostDown: shell lines in, run one after the other, in the order of the file.

As wg-quick runs them: by bash, each in a shell of its own that ends at the first failure, `%i` replaced by
the interface's name. They have our environment, standard input and output.
"""

import asyncio
import os
import signal
from collections.abc import Sequence

from pyfw.control.host.step_reporter import StepReporter

_SHELL = ("bash", "-e", "-o", "pipefail", "-O", "extglob", "-c")
# What a hook that is told to end may take.
_PATIENCE_S = 2.0


class HookFailed(OSError):
    """A hook ended with something else than 0."""


async def run(key: str, hooks: Sequence[str], interface: str, steps: StepReporter) -> None:
    """Runs all of them; the first that fails is the last one. Raises HookFailed.

    key: PreUp, PostUp, …, for the error. Cancelled, it ends the hook.
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
                await asyncio.wait_for(process.wait(), _PATIENCE_S)
            except TimeoutError:
                process.kill()
                await process.wait()
        raise
    if status != 0:
        how = f"exit {status}" if status > 0 else signal.Signals(-status).name
        raise HookFailed(f"{key} failed ({how}): {command}")
