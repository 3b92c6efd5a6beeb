"""One machine of the lab: a network and a mount namespace with a /run of its own.

Nothing of it has a name outside: the namespaces live as long as the process that holds them, and
that one ends when its standard input does, which is a pipe of ours. So nothing is left behind even
if we are killed, and any number of labs can run beside each other. Without root the same happens
inside a user namespace.
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

# A tmpfs on /run gives every machine its own /var/run/wireguard, so that all may call their
# interface wg0. Where /var/run is not a link to /run, it is made the same.
_HOLD = """
mount -t tmpfs tmpfs /run
[ -L /var/run ] || mount --bind /run /var/run
mkdir /run/wireguard
mount -t sysfs sysfs /sys || true
ip link set lo up
echo held
exec cat
"""

_NEEDED = ("unshare", "nsenter", "setpriv", "ip", "wg")


class Unavailable(Exception):
    """The lab cannot be built here; the text says what is missing."""


@cache
def unavailable() -> str | None:
    """Why no lab can be built on this machine, or None."""
    missing = [tool for tool in _NEEDED if shutil.which(tool) is None]
    if missing:
        return f"not installed: {', '.join(missing)}"
    if not Path("/dev/net/tun").exists():
        return "/dev/net/tun is missing: modprobe tun"
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        return "/dev/net/tun is not ours to open: run as root, or chmod 0666 /dev/net/tun"
    if _as_root() or _works("unshare", "--user", "--map-root-user", "--mount", "--net"):
        return None
    return "neither root nor unprivileged user namespaces are allowed here"


@cache
def _as_root() -> bool:
    return os.geteuid() == 0 and _works("unshare", "--mount", "--net")


def _works(*prefix: str) -> bool:
    return subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode == 0


class UserNamespace:
    """What lends us root over our own namespaces; nothing at all where we are root already."""

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
        """Whether no user namespace was needed."""
        return self._holder is None

    def close(self) -> None:
        """Lets go of it."""
        if self._holder is not None:
            _release(self._holder)


class Host(ABC):
    """What commands can be run in: a namespace, or the guest of `kernel_peer`."""

    name: str

    @abstractmethod
    def _inside(self, command: Sequence[str], stdin: str) -> tuple[list[str], str | None]:
        """What runs a command in here, and what that gets as its standard input; None: ours."""

    def run(
        self, *command: str, stdin: str = "", check: bool = True, timeout_s: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Runs a command to its end. A failure is raised with the command's own words."""
        argv, given = self._inside(command, stdin)
        done = subprocess.run(
            argv, input=given, capture_output=True, text=True, timeout=timeout_s, check=False
        )
        if check and done.returncode != 0:
            words = (done.stderr or done.stdout).strip()
            raise RuntimeError(f"{self.name}: {' '.join(command)}: {words}")
        return done

    def write(self, path: str, text: str) -> None:
        """Writes a private file into the machine's /run."""
        self.run("sh", "-c", 'umask 077; cat > "$0"', path, stdin=text)

    def has(self, path: str) -> bool:
        """Whether a file is there, in this machine's own /run."""
        return self.run("test", "-e", path, check=False).returncode == 0

    def ip(self, *arguments: str) -> str:
        """`ip ARGUMENTS`, in here."""
        return self.run("ip", *arguments).stdout

    def sysctl(self, key: str, value: str) -> bool:
        """Sets a kernel parameter of this machine; returns whether the kernel took it."""
        path = "/proc/sys/" + key.replace(".", "/")
        write = self.run("sh", "-c", 'echo "$0" > "$1"', value, path, check=False)
        return write.returncode == 0


class Namespace(Host):
    """A machine: commands run in it, processes started in it end with it."""

    def __init__(self, name: str, user: UserNamespace) -> None:
        self.name = name
        self._processes: list[Process] = []
        self._holder = _hold([*user.enter, "unshare", "--mount", "--net", "sh", "-ec", _HOLD])
        target = ["--target", str(self.pid), "--mount", "--net", f"--wd={Path.cwd()}"]
        if user.is_root:
            self._enter = ["nsenter", *target]
        else:
            # The user namespace has to be entered first: it lends the right to enter the others.
            self._enter = ["nsenter", "--user", "--preserve-credentials", *target]

    @property
    def pid(self) -> int:
        """The process that holds the namespaces: `nsenter -t PID -m -n` looks inside."""
        return self._holder.pid

    def _inside(self, command: Sequence[str], stdin: str) -> tuple[list[str], str | None]:
        return [*self._enter, *_dying_with_us(command)], stdin

    def start(
        self,
        *command: str,
        environment: Mapping[str, str] | None = None,
        listens: bool = False,
    ) -> Process:
        """Starts a process that is stopped, at the latest, with this machine."""
        argv = [*self._enter, *_dying_with_us(command)]
        process = Process(argv, {**os.environ, **(environment or {})}, listens=listens)
        self._processes.append(process)
        return process

    def path(self, inside: str) -> Path:
        """Where a file of this machine's own, such as those in /run, is reached from outside."""
        return Path(f"/proc/{self.pid}/root{inside}")

    def has(self, path: str) -> bool:
        """Whether a file is there, in this machine's own /run."""
        return self.path(path).exists()

    def counters(self) -> kernel_counters.Counters:
        """The kernel's counters of this network namespace."""
        return kernel_counters.read(self.pid)

    def close(self) -> None:
        """Stops what runs in here, newest first, and lets the namespaces go."""
        for process in reversed(self._processes):
            process.stop()
        self._processes.clear()
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


def _dying_with_us(command: Sequence[str]) -> list[str]:
    # Who was killed before the kernel was asked is no parent any more: then nothing is started.
    orphaned = '[ "$PPID" = "$0" ] && exec "$@"'
    asked = ["setpriv", "--pdeathsig", "KILL", "sh", "-c", orphaned]
    return [*asked, str(os.getpid()), *command]


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
        words = holder.stderr.read().strip()
        _release(holder)
        raise Unavailable(f"cannot make a namespace: {words}")
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
