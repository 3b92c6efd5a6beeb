"""Draws a run as an HTML page with charts, and as the SVG of the README.

Both need no network and follow the reader's theme. Style and elements are those of pyfw.replay.report.
"""

from bench.report.html import page
from bench.report.picture import picture

__all__ = ["page", "picture"]
