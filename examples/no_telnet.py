"""NoTelnet: a firewall in one line. It drops what goes to TCP port 23, in both directions.

    [[stages]]
    use = "examples/no_telnet.py:NoTelnet"

In: frames. Out: all but those. Drops: "telnet". Order: as they came.
"""

import pyfw


class NoTelnet(pyfw.Stage):
    """Refuse TCP port 23, in both directions."""

    def process(self, batch: pyfw.FrameBatch) -> None:
        """Look at the columns; most batches have none of it, and nothing is copied."""
        for i in batch.where(protocol="tcp", dst_port=23):
            batch.drop(i, "telnet")
