"""`pyfw run CONF` in which the interpreter is held for a while, once /run/hold is there."""

import ctypes
import sys
import threading
import time
from pathlib import Path

from pyfw.cli import main
from pyfw.demo.daemon import CONF

HOLD_FILE = "/run/hold"
_HOLD_S = 5


def hold() -> None:
    """Sleeps without giving up the interpreter: no other Python thread runs meanwhile."""
    while not Path(HOLD_FILE).exists():
        time.sleep(0.02)
    print("held", flush=True)
    ctypes.PyDLL(None).sleep(_HOLD_S)
    print("released", flush=True)


if __name__ == "__main__":
    threading.Thread(target=hold, daemon=True).start()
    sys.argv = ["pyfw", "run", CONF]
    main()
