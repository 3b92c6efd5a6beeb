"""Floods a peer with handshake initiations; a script that runs inside a machine.

    python handshake_flood.py ADDRESS PORT PUBLIC_KEY SECONDS

Only their mac1 is valid. A peer under this load must ask for a cookie (whitepaper §5.3), since each
initiation that it processes costs a key agreement.
"""

import base64
import hashlib
import os
import socket
import sys
import time

_BURST = 1000
_PAUSE_S = 0.25
_INITIATION_BYTES = 148


def initiations(public_key: bytes, count: int) -> list[bytes]:
    """Returns messages of type 1 with noise, a valid mac1 and no mac2 (whitepaper §5.4.2, §5.4.4)."""
    key = hashlib.blake2s(b"mac1----" + public_key).digest()
    messages = []
    for _ in range(count):
        body = b"\1\0\0\0" + os.urandom(_INITIATION_BYTES - 4 - 32)
        mac1 = hashlib.blake2s(body, digest_size=16, key=key).digest()
        messages.append(body + mac1 + bytes(16))
    return messages


def main(address: str, port: str, public_key: str, seconds: str) -> None:
    """Sends a burst four times a second."""
    messages = initiations(base64.b64decode(public_key), _BURST)
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sender:
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
        print("flooding", flush=True)
        end = time.monotonic() + float(seconds)
        while time.monotonic() < end:
            for message in messages:
                try:
                    sender.sendto(message, (address, int(port)))
                except OSError:
                    pass  # its queue is full, or an ICMP error
            time.sleep(_PAUSE_S)


if __name__ == "__main__":
    main(*sys.argv[1:])
