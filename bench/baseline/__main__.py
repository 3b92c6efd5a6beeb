"""`python -m bench.baseline`: the parts that a benchmark compares a tunnel with.

without-cipher CONF     runs pyfw from a wg-quick file, in the clear
bare CONF               carries frames between a TUN and UDP as they are
cipher NAME LENGTH      prints nanoseconds to seal and to open, as a JSON list
"""

import json
import sys

from bench.baseline import lab_only
from pyfw import _native


def main(arguments: list[str]) -> None:
    """Runs one of them."""
    if not hasattr(_native, "passthrough"):
        sys.exit(
            "bench.baseline: pyfw was built without the feature `bench`: run `make setup` or `make bench`"
        )
    try:
        match arguments:
            case ["without-cipher", conf]:
                from bench.baseline.without_cipher import run

                sys.exit(run(lab_only.load(conf)))
            case ["bare", conf]:
                from bench.baseline.bare import carry

                carry(lab_only.load(conf))
            case ["cipher", name, length]:
                print(json.dumps(_native.cipher_cost(name, int(length))))
            case _:
                sys.exit(__doc__)
    except (OSError, ValueError) as error:
        sys.exit(f"bench.baseline: {error}")


if __name__ == "__main__":
    main(sys.argv[1:])
