"""The C library's resolver asks for forty names, IPv4 and IPv6 at once, as programs do (getent ahosts)."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))
from recording import record

from lab import BEHIND, Network

# Answers A with 203.0.113.N and AAAA with 2001:db8::N, for any name.
_SERVER = """
import socket, sys
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind((sys.argv[1], 53))
print("listening", flush=True)
while True:
    asked, client = server.recvfrom(1500)
    end = asked.index(0, 12) + 5
    kind, number = asked[end - 3], asked[13 + 4]
    four, six = bytes([203, 0, 113, number]), bytes.fromhex("20010db8") + bytes(11) + bytes([number])
    data = four if kind == 1 else six
    record = b"\\xc0\\x0c\\0" + bytes([kind]) + b"\\0\\1\\0\\0\\0\\x3c\\0" + bytes([len(data)]) + data
    told = asked[:2] + b"\\x81\\x80\\0\\1\\0\\1\\0\\0\\0\\0" + asked[12:end] + record
    server.sendto(told, client)
"""


def ask(network: Network) -> None:
    """Asks."""
    address = BEHIND["server"].v4
    server = network.server.start(sys.executable, "-c", _SERVER, address)
    server.wait_for("listening")
    network.client.write("/run/resolv.conf", f"nameserver {address}\n")
    network.client.run("mount", "--bind", "/run/resolv.conf", "/etc/resolv.conf")
    names = [f"host{number}.example" for number in range(40)]
    network.client.run("getent", "ahosts", *names)


record(ask)
