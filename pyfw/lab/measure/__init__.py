"""Measures of a tunnel: a load for a window of time, what came of it, what it cost both daemons.

    load → tunnel → what arrived in the window;  CPU clocks of both daemons over the same window;
    counters of three kernels and two daemons before and after

`pyfw bench` and `python -m bench.tunnel` take the same ones, so that their figures compare.
"""

from pyfw.lab.measure.cipher import Cipher
from pyfw.lab.measure.datagrams import Datagrams
from pyfw.lab.measure.flows import Flows
from pyfw.lab.measure.pings import Pings
from pyfw.lab.measure.requests import Requests
from pyfw.lab.measure.sample import Measure, Sample, percentile
from pyfw.lab.measure.subject import Subject
from pyfw.lab.measure.tally import LAYERS, Tally

__all__ = [
    "LAYERS",
    "Cipher",
    "Datagrams",
    "Flows",
    "Measure",
    "Pings",
    "Requests",
    "Sample",
    "Subject",
    "Tally",
    "percentile",
]
