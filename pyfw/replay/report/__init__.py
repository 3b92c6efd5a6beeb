"""The report of replays: one HTML file that shows what came out, in which order, in which batches.

In: runs, each the result of one replay under one rule. Out: one file that needs no network. What does
not fit is thinned and said on the page; out-of-order points go last. The same runs give the same bytes.
"""

from pyfw.replay.report.html import render, write_report
from pyfw.replay.report.run import Run

__all__ = ["Run", "render", "write_report"]
