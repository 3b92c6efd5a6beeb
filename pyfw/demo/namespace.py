"""A machine: a network and a mount namespace with a /run of its own.

The namespaces have no name outside: they live as long as the process that holds them, and that process
ends when its standard input, a pipe from here, is closed. So nothing is left behind even after SIGKILL, and
any number of networks run side by side. Without root the same happens inside a user namespace.
"""

import os
import shutil
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Self

from pyfw.demo import kernel_counters
from pyfw.demo.process import Process

# A tmpfs on /run gives every machine its own /var/run/wireguard, so that all can name their interface wg0.
# The bind mount is for systems where /var/run is not a link to /run.
_HOLD = """
mount -t tmpfs tmpfs /run
[ -L /var/run ] || mount --bind /run /var/run
mkdir /run/wireguard
mount -t sysfs sysfs /sys || true
ip link set lo up
echo held
exec cat
"""

_REQUIRED = ("unshare", "nsenter", "setpriv", "ip", "wg")


class Unavailable(Exception):
    """Namespaces or a program are missing on this machine; the message names what is missing."""


@cache
def unavailable() -> str | None:
    """Returns why this machine cannot run the namespaces, or None."""
    missing = [tool for tool in _REQUIRED if shutil.which(tool) is None]
    if missing:
        return f"not installed: {', '.join(missing)}"
    if not Path("/dev/net/tun").exists():
        return "/dev/net/tun is missing: modprobe tun"
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        return "/dev/net/tun cannot be opened: run as root, or chmod 0666 /dev/net/tun"
    if _as_root() or _succeeds("unshare", "--user", "--map-root-user", "--mount", "--net"):
        return None
    return "needs root or unprivileged user namespaces"


@cache
def _as_root() -> bool:
    return os.geteuid() == 0 and _succeeds("unshare", "--mount", "--net")


def _succeeds(*prefix: str) -> bool:
    return subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode == 0


class UserNamespace:
    """A user namespace in which this process is root; none if it is root already."""

    def __init__(self) -> None:
        """Raises Unavailable."""
        if reason := unavailable():
            raise Unavailable(reason)
        self.enter: list[str] = []
        self._holder: subprocess.Popen[str] | None = None
        if not _as_root():
            unshare = ["unshare", "--user", "--map-root-user", "sh", "-c", "echo held; exec cat"]
            self._holder = _hold(unshare)
            target = str(self._holder.pid)
            self.enter = ["nsenter", "--target", target, "--user", "--preserve-credentials"]

    @property
    def is_root(self) -> bool:
        """Whether the process is root without a user namespace."""
        return self._holder is None

    def close(self) -> None:
        """Releases the namespace."""
        if self._holder is not None:
            _release(self._holder)


class Host(ABC):
    """A machine that runs commands: a namespace, or a virtual machine of the lab."""

    name: str

    @abstractmethod
    def _inside(self, command: Sequence[str], stdin: str) -> tuple[list[str], str | None]:
        """Returns the command that runs `command` inside, and its standard input; None inherits ours."""

    def run(
        self, *command: str, stdin: str = "", check: bool = True, timeout_s: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Runs a command to its end. Raises RuntimeError with the command's output if it fails."""
        argv, stdin_text = self._inside(command, stdin)
        done = subprocess.run(
            argv, input=stdin_text, capture_output=True, text=True, timeout=timeout_s, check=False
        )
        if check and done.returncode != 0:
            output = (done.stderr or done.stdout).strip()
            raise RuntimeError(f"{self.name}: {' '.join(command)}: {output}")
        return done

    def write(self, path: str, text: str) -> None:
        """Writes a file that only its owner can read, such as one in the machine's /run."""
        self.run("sh", "-c", 'umask 077; cat > "$0"', path, stdin=text)

    def has(self, path: str) -> bool:
        """Whether a file exists, as seen by the machine."""
        return self.run("test", "-e", path, check=False).returncode == 0

    def ip(self, *arguments: str) -> str:
        """Runs `ip ARGUMENTS` and returns the output."""
        return self.run("ip", *arguments).stdout

    def sysctl(self, key: str, value: str) -> bool:
        """Sets a kernel parameter of the machine; returns whether the kernel accepted it."""
        path = "/proc/sys/" + key.replace(".", "/")
        write = self.run("sh", "-c", 'echo "$0" > "$1"', value, path, check=False)
        return write.returncode == 0


class Namespace(Host):
    """A network and a mount namespace. Processes started in it end with it."""

    def __init__(self, name: str, user: UserNamespace) -> None:
        self.name = name
        self._processes: list[Process] = []
        self._holder = _hold([*user.enter, "unshare", "--mount", "--net", "sh", "-ec", _HOLD])
        target = ["--target", str(self.pid), "--mount", "--net", f"--wd={Path.cwd()}"]
        if user.is_root:
            self._enter = ["nsenter", *target]
        else:
            # The user namespace first: it grants the right to enter the others.
            self._enter = ["nsenter", "--user", "--preserve-credentials", *target]

    @property
    def pid(self) -> int:
        """The process that holds the namespaces: `nsenter -t PID -m -n` enters them."""
        return self._holder.pid

    def _inside(self, command: Sequence[str], stdin: str) -> tuple[list[str], str | None]:
        return [*self._enter, *_killed_with_this_process(command)], stdin

    def start(
        self,
        *command: str,
        environment: Mapping[str, str] | None = None,
        reads_stdin: bool = False,
    ) -> Process:
        """Starts a process; `close` stops it."""
        argv = [*self._enter, *_killed_with_this_process(command)]
        process = Process(argv, {**os.environ, **(environment or {})}, reads_stdin=reads_stdin)
        self._processes.append(process)
        return process

    def path(self, inside: str) -> Path:
        """Returns the path by which a file of the machine, such as one in its /run, is read from outside."""
        return Path(f"/proc/{self.pid}/root{inside}")

    def has(self, path: str) -> bool:
        """Whether a file exists, as seen by the machine."""
        return self.path(path).exists()

    def counters(self) -> kernel_counters.Counters:
        """Returns the kernel's counters of this network namespace."""
        return kernel_counters.read(self.pid)

    def stop_processes(self) -> None:
        """Stops the processes, newest first."""
        for process in reversed(self._processes):
            process.stop()
        self._processes.clear()

    def close(self) -> None:
        """Stops the processes and releases the namespaces."""
        self.stop_processes()
        _release(self._holder)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _killed_with_this_process(command: Sequence[str]) -> list[str]:
    # If this process ends before setpriv runs, the shell has another parent, and starts nothing.
    start = '[ "$PPID" = "$0" ] && exec "$@"'
    return ["setpriv", "--pdeathsig", "KILL", "sh", "-c", start, str(os.getpid()), *command]


def _hold(command: list[str]) -> subprocess.Popen[str]:
    holder = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert holder.stdout is not None and holder.stderr is not None
    if holder.stdout.readline() != "held\n":
        error = holder.stderr.read().strip()
        _release(holder)
        raise Unavailable(f"cannot create a namespace: {error}")
    return holder


def _release(holder: subprocess.Popen[str]) -> None:
    for stream in (holder.stdin, holder.stdout, holder.stderr):
        if stream is not None:
            stream.close()
    try:
        holder.wait(timeout=2)
    except subprocess.TimeoutExpired:
        holder.kill()
        holder.wait()
