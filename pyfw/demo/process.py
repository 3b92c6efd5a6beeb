"""A process that the demo starts: its output and its end."""

import os
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence


class Process:
    """A started command. Its output goes to an unnamed file, so that it never blocks on a full pipe."""

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], *, reads_stdin: bool = False
    ) -> None:
        """`reads_stdin`: the command reads the line that `write_line` sends."""
        self._command = command
        self._output = tempfile.TemporaryFile()
        self._final_output = ""
        # A session of its own: Ctrl-C at the terminal must reach only this process, which ends the command.
        self._popen = subprocess.Popen(
            command,
            stdin=subprocess.PIPE if reads_stdin else subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """The command's process id in the initial PID namespace (nsenter and setpriv exec it)."""
        return self._popen.pid

    @property
    def returncode(self) -> int | None:
        """The exit status, or None while it runs."""
        return self._popen.poll()

    def wait(self, timeout_s: float) -> str:
        """Waits for the end and returns the output. Raises RuntimeError or TimeoutExpired."""
        self._popen.wait(timeout=timeout_s)
        if (code := self.stop()) != 0:
            raise RuntimeError(f"{' '.join(self._command)}: exit {code}: {self.output().strip()}")
        return self.output()

    def wait_for(self, text: str, timeout_s: float = 5) -> None:
        """Waits until the output contains `text`. Raises RuntimeError."""
        deadline = time.monotonic() + timeout_s
        while text not in self.output():
            if self.returncode is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{' '.join(self._command)}: {self.output().strip()}")
            time.sleep(0.01)

    def write_line(self, line: str) -> None:
        """Writes a line to the standard input and closes it."""
        assert self._popen.stdin is not None
        with self._popen.stdin as stream:
            stream.write(line.encode() + b"\n")

    def output(self) -> str:
        """Returns the output so far, standard error included."""
        if self._output.closed:
            return self._final_output
        size = os.fstat(self._output.fileno()).st_size
        return os.pread(self._output.fileno(), size, 0).decode(errors="replace")

    def signal(self, number: int) -> None:
        """Sends a signal, unless the process has ended."""
        self._popen.send_signal(number)

    def stop(self, timeout_s: float = 3) -> int:
        """Sends SIGTERM, then SIGKILL after the timeout, and returns the exit status."""
        if self._popen.poll() is None:
            self._popen.terminate()
            try:
                self._popen.wait(timeout=timeout_s)
            except subprocess.TimeoutExpired:
                self._popen.kill()
                self._popen.wait()
        if self._popen.stdin is not None:
            self._popen.stdin.close()
        self._final_output = self.output()
        self._output.close()
        return self._popen.returncode
