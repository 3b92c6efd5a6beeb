"""Measures of a tunnel: a load for a window of time, what arrived, and what it cost both daemons.

`python -m bench` and `python -m bench.tunnel` take the same measures, so that their figures compare.
"""

from lab.measure.cipher import Cipher
from lab.measure.datagrams import Datagrams
from lab.measure.flows import Flows
from lab.measure.pings import Pings
from lab.measure.requests import Requests
from lab.measure.sample import Measure, Sample, percentile
from lab.measure.snapshot import LAYERS, CounterSnapshot
from lab.measure.tunnel import MeasuredTunnel

__all__ = [
    "LAYERS",
    "Cipher",
    "CounterSnapshot",
    "Datagrams",
    "Flows",
    "Measure",
    "MeasuredTunnel",
    "Pings",
    "Requests",
    "Sample",
    "percentile",
]
