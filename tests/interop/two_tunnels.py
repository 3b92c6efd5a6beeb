"""Two tunnels in one process, talking over loopback; a script that runs inside a lab's machine.

    python two_tunnels.py PACKETS CAPTURE

One is used with an event loop, the other without. Packets go into wg0 and come out of wg1 as they
are. Prints one JSON object: what came, what was counted, and what is left after both were closed.
"""

import asyncio
import json
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from pyfw import Config, Interface, Peer, Tunnel, _native
from pyfw.config import Secret
from pyfw.observe import log

_ETH_P_IP = 0x0800  # linux/if_ether.h
_PORTS = (51821, 51822)


def config(number: int, private: list[bytes]) -> Config:
    """Tunnel `number` of the two; the other one is its only peer, and may send as anybody."""
    other = 1 - number
    peer = Peer(
        public_key=_native.public_key(private[other]),
        endpoint=f"127.0.0.1:{_PORTS[other]}",
        allowed_ips=("0.0.0.0/0",),
    )
    interface = Interface(private_key=Secret(private[number]), listen_port=_PORTS[number])
    return Config(name=f"wg{number}", interface=interface, peers=(peer,))


def packet(number: int) -> bytes:
    """IPv4 with a protocol that nobody knows (253, RFC 3692), numbered."""
    header = struct.pack(
        "!BBHHHBBH4s4s", 0x45, 0, 24, number, 0, 64, 253, 0, b"\x0a\0\0\1", b"\x0a\0\0\2"
    )
    total = sum(struct.unpack("!10H", header))
    total = (total & 0xFFFF) + (total >> 16)
    checksum = struct.pack("!H", ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF)
    return header[:10] + checksum + header[12:] + struct.pack("!I", number)


def packet_socket(interface: str) -> socket.socket:
    opened = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
    opened.bind((interface, _ETH_P_IP))
    opened.settimeout(5)
    return opened


def exchange(count: int) -> list[int]:
    """Sends the packets into wg0 and returns the numbers of those that came out of wg1."""
    for name in ("wg0", "wg1"):
        subprocess.run(["ip", "link", "set", name, "up"], check=True)
    came: list[int] = []
    with packet_socket("wg0") as into, packet_socket("wg1") as out:
        for number in range(count):
            into.sendto(packet(number), ("wg0", _ETH_P_IP))
            # A window, so that no queue of the kernel's overflows.
            while number - len(came) > 64 or (number == count - 1 and len(came) < count):
                came.append(int.from_bytes(out.recv(2048)[20:24], "big"))
    return came


def open_descriptors() -> list[str]:
    """What is open, by what it is; without the listing's own."""
    found = []
    for entry in Path("/proc/self/fd").iterdir():
        try:
            found.append(str(entry.readlink()).partition(":[")[0])
        except FileNotFoundError:
            pass
    return sorted(found)


def threads() -> int:
    return len(list(Path("/proc/self/task").iterdir()))


def threads_left() -> int:
    """Threads but those that were joined, which leave /proc a moment later."""
    deadline = time.monotonic() + 2
    while threads() > 1 and time.monotonic() < deadline:
        time.sleep(0.01)
    return threads()


async def run(count: int, capture: str) -> dict[str, Any]:
    """Both tunnels, from open to closed."""
    private = [_native.generate_private_key() for _ in _PORTS]
    before = open_descriptors()
    async with Tunnel(config=config(0, private)) as one:
        with Tunnel(config=config(1, private)) as two:
            with one.capture(capture, ["tun", "stages", "udp"]) as captured:
                came = await asyncio.to_thread(exchange, count)
            said = {
                "came": came,
                "captured": captured,
                "sender": one.counters().to_dict(),
                "receiver": two.counters().to_dict(),
                "handshakes_ns": [tunnel.peers()[0].last_handshake_ns for tunnel in (one, two)],
                "repr": repr([one.engine.configuration(), *one.peers()]),
                "keys": [key.hex() for key in private],
                "threads": threads(),
            }
    await asyncio.get_running_loop().shutdown_default_executor()
    said["threads_left"] = threads_left()
    said["descriptors_left"] = [open_descriptors(), before]
    said["links_left"] = [name for _, name in socket.if_nameindex() if name.startswith("wg")]
    return said


if __name__ == "__main__":
    log.configure("error")
    print(json.dumps(asyncio.run(run(int(sys.argv[1]), sys.argv[2]))))
