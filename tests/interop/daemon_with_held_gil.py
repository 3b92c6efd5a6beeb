"""`pyfw run CONF` in which one Python thread holds the GIL from /run/hold until /run/release exists."""

import ctypes
import sys
import threading
import time
from pathlib import Path

from pyfw.cli import main
from pyfw.demo.daemon import CONF

HOLD_FILE = "/run/hold"
RELEASE_FILE = "/run/release"


def hold() -> None:
    """Holds the GIL: PyDLL calls keep it, and the interpreter never asks for it between two of them."""
    while not Path(HOLD_FILE).exists():
        time.sleep(0.02)
    libc = ctypes.PyDLL(None)
    sys.setswitchinterval(1000)
    print("held", flush=True)
    while libc.access(RELEASE_FILE.encode(), 0) != 0:
        libc.usleep(10_000)
    sys.setswitchinterval(0.005)
    print("released", flush=True)


if __name__ == "__main__":
    threading.Thread(target=hold, daemon=True).start()
    sys.argv = ["pyfw", "run", CONF]
    main()
