"""The cipher alone: what it costs to seal and open a gigabyte.

Sealing and opening, plus the data path without its cipher (lab.baseline), are the baseline of a tunnel.
"""

import json
import subprocess
from dataclasses import dataclass

from lab import baseline
from lab.measure.sample import Sample

# IPv4 or IPv6, TCP and its timestamps option (RFC 7323): the bytes of a segment that are not payload.
_HEADERS = {4: 20 + 20 + 12, 6: 40 + 20 + 12}


@dataclass(frozen=True)
class Cipher:
    """A cipher, over full segments of a tunnel."""

    cipher: str
    mtu: int = 1420
    version: int = 4

    def run(self) -> Sample:
        """Returns seal_ns and open_ns per segment, and cpu_s_gb of both per gigabyte of TCP payload.

        Raises RuntimeError if the cipher cannot be used.
        """
        command = [*baseline.COMMAND, "cipher", self.cipher, str(self.mtu)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(done.stderr.strip())
        seal_ns, open_ns = json.loads(done.stdout)
        # Nanoseconds per byte are seconds per gigabyte.
        cost = (seal_ns + open_ns) / (self.mtu - _HEADERS[self.version])
        return Sample({"seal_ns": seal_ns, "open_ns": open_ns, "cpu_s_gb": cost})
