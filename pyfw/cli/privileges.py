"""Gains the privileges to configure networks."""

import os
import shutil
import sys
from pathlib import Path

_CAP_NET_ADMIN = 12  # linux/capability.h


def become_root() -> None:
    """Re-executes the command under sudo, as wg-quick does, unless it is root or has CAP_NET_ADMIN."""
    if os.geteuid() == 0 or _has_net_admin() or shutil.which("sudo") is None:
        return
    prompt = "pyfw must be run as root. Please enter the password for %u to continue: "
    sys.stdout.flush()
    sys.stderr.flush()
    executable = str(Path(shutil.which(sys.argv[0]) or sys.argv[0]).absolute())
    os.execvp("sudo", ["sudo", "-p", prompt, "--", executable, *sys.argv[1:]])


def _has_net_admin() -> bool:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> _CAP_NET_ADMIN & 1)
    return False
