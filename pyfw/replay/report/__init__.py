"""The HTML report of replays: verdicts, batches in sending order, time–sequence plots and counters.

One self-contained file. If a run has more points than the page can hold, the page says how many are left out;
points out of order are kept longest. Equal runs give equal bytes.
"""

from pyfw.replay.report.html import render, write_report
from pyfw.replay.report.run import Run

__all__ = ["Run", "render", "write_report"]
