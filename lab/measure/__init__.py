"""Measures of a tunnel: a load for a window of time, what came of it, what it cost both daemons.

    load → tunnel → what arrived in the window;  CPU clocks of both daemons over the same window;
    counters of three kernels and two daemons before and after

`pyfw bench` and `python -m bench.tunnel` take the same ones, so that their figures compare.
"""

from lab.measure.cipher import Cipher
from lab.measure.datagrams import Datagrams
from lab.measure.flows import Flows
from lab.measure.pings import Pings
from lab.measure.requests import Requests
from lab.measure.sample import Measure, Sample, percentile
from lab.measure.subject import Subject
from lab.measure.tally import LAYERS, Tally

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
