"""Exit statuses of daemons and commands."""

OK = 0

FAILED = 1
"""The system refused something."""

USAGE = 2
"""A file or the command line is wrong."""

PANIC = 70
"""A thread of the engine panicked (EX_SOFTWARE of sysexits.h)."""
