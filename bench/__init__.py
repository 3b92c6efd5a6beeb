"""Benchmarks of pyfw, run from a checkout: `python -m bench`, `python -m bench.tunnel`, and others beside it.

They measure the pyfw that is installed. `python -m` puts the checkout first in sys.path; importing this
package moves it to the end, so that its `pyfw` does not hide the installed one.
"""

import sys
from pathlib import Path

_CHECKOUT = Path(__file__).resolve().parents[1]
sys.path[:] = [*(path for path in sys.path if Path(path).resolve() != _CHECKOUT), str(_CHECKOUT)]
