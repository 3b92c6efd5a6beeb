"""The stages that bench.stages puts into the receiving daemon: they look at every frame and change none.

`Columns` looks at a batch at once with numpy, `Loop` at one frame after the other in plain Python, five
columns each. What they find is counted, so that nothing of it is idle.
"""

import numpy as np

import pyfw

_TCP = 6


class Columns(pyfw.Stage):
    """A batch at once."""

    def process(self, batch: pyfw.FrameBatch) -> None:
        """Bytes of TCP to high ports, by five columns."""
        protocol = np.asarray(batch.protocol)
        ports = np.asarray(batch.src_port) | np.asarray(batch.dst_port)
        length = np.asarray(batch.length)
        flags = np.asarray(batch.tcp_flags)
        seen = (protocol == _TCP) & (ports > 1023) & (flags != 0)
        self.count("bytes", int(length[seen].sum()))


class Loop(pyfw.Stage):
    """One frame after the other."""

    def process(self, batch: pyfw.FrameBatch) -> None:
        """The same sum."""
        total = 0
        for protocol, source, destination, length, flags in zip(
            batch.protocol,
            batch.src_port,
            batch.dst_port,
            batch.length,
            batch.tcp_flags,
            strict=True,
        ):
            if protocol == _TCP and (source | destination) > 1023 and flags:
                total += length
        self.count("bytes", total)
