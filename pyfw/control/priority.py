"""The tunnel before those whose packets it moves.

In: a nice value. Out: this process's scheduling group has it, where it has one of its own. Linux gives each
session a group, and the groups equal shares of a busy processor (sched_autogroup, see sched(7)): a thread's
nice value counts among the threads of its own session alone. A daemon is its session, and beside two
programs that are busy it would get a third, however little of it they leave to each other's packets.
"""

import os
from pathlib import Path

import structlog

_GROUP = Path("/proc/self/autogroup")


def favour(nice: int) -> None:
    """Gives our session the nice value, unless others share it: a shell and what else runs in it.

    nice: -20 to 19; 0 leaves it. What the kernel refuses is logged.
    """
    if nice == 0 or os.getsid(0) != os.getpid() or not _GROUP.exists():
        return
    try:
        _GROUP.write_text(f"{nice}\n")
    except OSError as error:
        structlog.get_logger("pyfw").info("priority.refused", nice=nice, error=error.strerror)
