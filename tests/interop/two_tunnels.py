"""Connects two tunnels in one process over loopback; a script that runs inside a machine of the lab.

    python two_tunnels.py PACKETS CAPTURE

One tunnel runs in an event loop, the other without one. Packets enter wg0 and leave wg1. Prints one JSON
object with the packets received, the counters, and what is left after both tunnels were closed.
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
    """Returns the configuration of one of the tunnels; the other one is its only peer, for all addresses."""
    other = 1 - number
    peer = Peer(
        public_key=_native.public_key(private[other]),
        endpoint=f"127.0.0.1:{_PORTS[other]}",
        allowed_ips=("0.0.0.0/0",),
    )
    interface = Interface(private_key=Secret(private[number]), listen_port=_PORTS[number])
    return Config(name=f"wg{number}", interface=interface, peers=(peer,))


def packet(number: int) -> bytes:
    """Returns an IPv4 packet of an experimental protocol (253, RFC 3692) with a number in its payload."""
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
    """Sends packets into wg0, and returns the numbers of those that left wg1."""
    for name in ("wg0", "wg1"):
        subprocess.run(["ip", "link", "set", name, "up"], check=True)
    received: list[int] = []
    with packet_socket("wg0") as into, packet_socket("wg1") as out:
        for number in range(count):
            into.sendto(packet(number), ("wg0", _ETH_P_IP))
            # A window keeps the kernel's queues from overflowing.
            while number - len(received) > 64 or (number == count - 1 and len(received) < count):
                received.append(int.from_bytes(out.recv(2048)[20:24], "big"))
    return received


def open_descriptors() -> list[str]:
    """Returns the targets of all open descriptors but the one that lists them."""
    found = []
    for entry in Path("/proc/self/fd").iterdir():
        try:
            found.append(str(entry.readlink()).partition(":[")[0])
        except FileNotFoundError:
            pass
    return sorted(found)


def thread_count() -> int:
    return len(list(Path("/proc/self/task").iterdir()))


def thread_count_at_end() -> int:
    """Waits for threads that were joined but are still in /proc."""
    deadline = time.monotonic() + 2
    while thread_count() > 1 and time.monotonic() < deadline:
        time.sleep(0.01)
    return thread_count()


async def run(count: int, capture: str) -> dict[str, Any]:
    """Opens both tunnels, exchanges packets, and closes them."""
    private = [_native.generate_private_key() for _ in _PORTS]
    before = open_descriptors()
    async with Tunnel(config=config(0, private)) as one:
        with Tunnel(config=config(1, private)) as two:
            with one.capture(capture, ["tun", "stages", "udp"]) as captured:
                received = await asyncio.to_thread(exchange, count)
            report = {
                "received": received,
                "captured": captured,
                "sender": one.counters().to_dict(),
                "receiver": two.counters().to_dict(),
                "handshakes_ns": [tunnel.peers()[0].last_handshake_ns for tunnel in (one, two)],
                "repr": repr([one.engine.configuration(), *one.peers()]),
                "keys": [key.hex() for key in private],
                "threads": thread_count(),
            }
    await asyncio.get_running_loop().shutdown_default_executor()
    report["threads_left"] = thread_count_at_end()
    report["descriptors_left"] = [open_descriptors(), before]
    report["links_left"] = [name for _, name in socket.if_nameindex() if name.startswith("wg")]
    return report


if __name__ == "__main__":
    log.configure("error")
    print(json.dumps(asyncio.run(run(int(sys.argv[1]), sys.argv[2]))))
