"""Runs one part of a tunnel on its own; started by its path, in the lab's namespaces.

without-cipher CONF     runs pyfw from a wg-quick file, with datagrams in the clear
bare CONF               forwards packets between a TUN and UDP unchanged
cipher NAME LENGTH      prints the nanoseconds to seal and to open, as a JSON list
"""

import json
import sys
from pathlib import Path

# Last, so that the pyfw that is installed beside this Python is used, and only `bench` from the checkout.
sys.path.append(str(Path(__file__).resolve().parents[2]))


def main(arguments: list[str]) -> None:
    """Runs one of them."""
    from bench.baseline import documentation_only
    from lab import baseline
    from pyfw import _native

    if reason := baseline.unavailable():
        sys.exit(f"bench.baseline: {reason}")
    try:
        match arguments:
            case ["without-cipher", conf]:
                from bench.baseline.without_cipher import run

                sys.exit(run(documentation_only.load(conf)))
            case ["bare", conf]:
                from bench.baseline.bare import forward

                forward(documentation_only.load(conf))
            case ["cipher", name, length]:
                print(json.dumps(_native.cipher_cost(name, int(length))))
            case _:
                sys.exit(__doc__)
    except (OSError, ValueError) as error:
        sys.exit(f"bench.baseline: {error}")


if __name__ == "__main__":
    main(sys.argv[1:])
