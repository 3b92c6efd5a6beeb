"""Skips tests that need libpcap if it is not installed."""

import pytest

from pyfw.stages import bpf


def _missing() -> str:
    try:
        bpf.program("ip")
    except OSError as error:
        return str(error)
    return ""


needs_libpcap = pytest.mark.skipif(bool(_missing()), reason=_missing() or "libpcap is installed")
