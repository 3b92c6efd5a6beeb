"""strip: compared with `wg-quick strip`, if wg-quick is installed."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from pyfw.config import strip

FILE = """\
# a comment stays
[Interface]
PrivateKey = a=
  Address = 10.0.0.1/24 # with a comment
address=10.0.0.2/24
\tLISTENPORT\t= 7
DNS = 1.1.1.1
MTU= 1400
Table = off
PreUp = echo "[Peer]"
PostUp = a = b
PREDOWN=
PostDown
SaveConfig = true
FwMark = 0x1

[Peer] # comment
PublicKey = b
MTU = 7
AllowedIPs = 10.0.0.0/8
 [interface]\x20
Mtu = 3
[Other]
Address = 5
Endpoint = x:1"""

STRIPPED = """\
# a comment stays
[Interface]
PrivateKey = a=
LISTENPORT\t= 7
FwMark = 0x1

[Peer] # comment
PublicKey = b
MTU = 7
AllowedIPs = 10.0.0.0/8
[interface]
[Other]
Address = 5
Endpoint = x:1
"""


def test_keys_of_wg_quick_are_removed() -> None:
    assert strip(FILE) == STRIPPED


@pytest.mark.skipif(shutil.which("wg-quick") is None, reason="wg-quick is not installed")
@pytest.mark.skipif(os.geteuid() != 0, reason="wg-quick needs root")
@pytest.mark.parametrize(
    "text", [FILE, FILE + "\n", "", "\n\n", "[Interface]\nMTU=1\r\nDNS = 1\r\n"]
)
def test_the_result_equals_that_of_wg_quick(tmp_path: Path, text: str) -> None:
    path = tmp_path / "wg0.conf"
    path.write_bytes(text.encode())
    done = subprocess.run(["wg-quick", "strip", path], capture_output=True, check=True)
    assert strip(text) + "\n" == done.stdout.decode()
