"""The cipher alone: what sealing and opening a gigabyte costs here, with nothing else to do.

Twice the cipher, and the path without it (lab.without_cipher), are the floor of a tunnel.
"""

import json
import subprocess
import sys
from dataclasses import dataclass

from lab.measure.sample import Sample

# IPv4 or IPv6, TCP, its timestamps option (RFC 7323): what a segment holds beside its payload.
_HEADERS = {4: 20 + 20 + 12, 6: 40 + 20 + 12}


@dataclass(frozen=True)
class Cipher:
    """A cipher over full segments of a tunnel."""

    cipher: str
    mtu: int = 1420
    version: int = 4

    def run(self) -> Sample:
        """seal_ns and open_ns a segment; cpu_s_gb, both, for a gigabyte of TCP payload.

        Raises RuntimeError where the cipher cannot be used.
        """
        command = [
            sys.executable,
            "-P",
            "-m",
            "bench.baseline",
            "cipher",
            self.cipher,
            str(self.mtu),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(done.stderr.strip())
        seal_ns, open_ns = json.loads(done.stdout)
        # Nanoseconds a byte are seconds a gigabyte.
        cost = (seal_ns + open_ns) / (self.mtu - _HEADERS[self.version])
        return Sample({"seal_ns": seal_ns, "open_ns": open_ns, "cpu_s_gb": cost})
