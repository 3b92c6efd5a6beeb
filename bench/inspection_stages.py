"""Stages that read every frame and change none: `bench.stages` runs them in the receiving daemon.

`Columns` reads a batch at once with numpy, `Loop` one frame after the other in plain Python; both read five
columns. They count what they find, so that no read is wasted.
"""

import numpy as np

import pyfw

_TCP = 6


class Columns(pyfw.Stage):
    """Reads a batch at once."""

    def process(self, batch: pyfw.FrameBatch) -> None:
        """Counts the bytes of TCP frames with a high port and a flag."""
        protocol = np.asarray(batch.protocol)
        ports = np.asarray(batch.src_port) | np.asarray(batch.dst_port)
        length = np.asarray(batch.length)
        flags = np.asarray(batch.tcp_flags)
        matches = (protocol == _TCP) & (ports > 1023) & (flags != 0)
        self.count("bytes", int(length[matches].sum()))


class Loop(pyfw.Stage):
    """Reads one frame after the other."""

    def process(self, batch: pyfw.FrameBatch) -> None:
        """Counts the same bytes."""
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
