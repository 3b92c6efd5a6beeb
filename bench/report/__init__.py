"""A run as one offline page with charts, and as the picture of the README.

In: results and the judged bars. Out: HTML that needs no network, light and dark, from phone to desktop; an
SVG that follows the reader's theme. The look is that of pyfw.replay.report, and so are its parts.
"""

from bench.report.html import page
from bench.report.picture import picture

__all__ = ["page", "picture"]
