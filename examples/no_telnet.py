"""NoTelnet: drops TCP to port 23, in both directions.

[[stages]]
use = "examples/no_telnet.py:NoTelnet"
"""

import pyfw


class NoTelnet(pyfw.Stage):
    """Drops TCP to port 23, counted as "telnet"."""

    def process(self, batch: pyfw.FrameBatch) -> None:
        """Drops each frame that `where` selects by its header columns; no payload is copied."""
        for i in batch.where(protocol="tcp", dst_port=23):
            batch.drop(i, "telnet")
