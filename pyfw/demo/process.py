"""A process of the lab: what it wrote, what it used, and its end."""

import os
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path


class Process:
    """A started command. Its output goes to an unnamed file, so that no pipe can fill up."""

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], *, listens: bool = False
    ) -> None:
        """`listens`: to what `tell` says, on its standard input."""
        self._command = command
        self._output = tempfile.TemporaryFile()
        self._last_words = ""
        # A session of its own: Ctrl-C at the terminal reaches us alone, and we end it in order.
        self._popen = subprocess.Popen(
            command,
            stdin=subprocess.PIPE if listens else subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """Its process id on this machine (nsenter and setpriv replace themselves)."""
        return self._popen.pid

    @property
    def returncode(self) -> int | None:
        """Its exit status, or None while it runs."""
        return self._popen.poll()

    def wait(self, timeout_s: float) -> str:
        """Waits for its end and returns what it wrote. Raises if it failed or takes too long."""
        self._popen.wait(timeout=timeout_s)
        if (code := self.stop()) != 0:
            raise RuntimeError(f"{' '.join(self._command)}: exit {code}: {self.output().strip()}")
        return self.output()

    def wait_for(self, text: str, timeout_s: float = 5) -> None:
        """Waits until it has written `text`."""
        deadline = time.monotonic() + timeout_s
        while text not in self.output():
            if self.returncode is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{' '.join(self._command)}: {self.output().strip()}")
            time.sleep(0.01)

    def tell(self, line: str) -> None:
        """Says a line to it, and no more than that."""
        assert self._popen.stdin is not None
        with self._popen.stdin as stream:
            stream.write(line.encode() + b"\n")

    def output(self) -> str:
        """What it has written so far."""
        if self._output.closed:
            return self._last_words
        size = os.fstat(self._output.fileno()).st_size
        return os.pread(self._output.fileno(), size, 0).decode(errors="replace")

    def signal(self, number: int) -> None:
        """Sends it a signal, unless it has ended."""
        self._popen.send_signal(number)

    def stop(self, timeout_s: float = 3) -> int:
        """Asks it to end, insists after a while, and returns its exit status."""
        if self._popen.poll() is None:
            self._popen.terminate()
            try:
                self._popen.wait(timeout=timeout_s)
            except subprocess.TimeoutExpired:
                self._popen.kill()
                self._popen.wait()
        if self._popen.stdin is not None:
            self._popen.stdin.close()
        self._last_words = self.output()
        self._output.close()
        return self._popen.returncode

    def cpu_ns(self) -> int:
        """User and system time of all its threads, the ended ones too, exact where times(2) ticks."""
        # clock_getcpuclockid(3); include/linux/posix-timers.h: the id is ~PID << 3 | CPUCLOCK_SCHED.
        return time.clock_gettime_ns(~self.pid << 3 | 2)

    def peak_rss_mib(self) -> float:
        """The most memory it ever held."""
        return _field(self._proc("status"), "VmHWM") / 1024

    def threads(self) -> int:
        """How many threads it has."""
        return _field(self._proc("status"), "Threads")

    def voluntary_switches(self) -> int:
        """How often its threads went to sleep, all together: what idleness costs."""
        return sum(
            _field((task / "status").read_text(), "voluntary_ctxt_switches")
            for task in self._tasks()
        )

    def _tasks(self) -> list[Path]:
        return list(Path(f"/proc/{self.pid}/task").iterdir())

    def _proc(self, name: str) -> str:
        return Path(f"/proc/{self.pid}/{name}").read_text()


def _field(status: str, name: str) -> int:
    for line in status.splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return int(value.split()[0])
    raise KeyError(name)
