"""The C library's resolver looks up forty names, IPv4 and IPv6 at once (getent ahosts)."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))
from recording import record

from lab import BEHIND, Network

# Answers for any name: A is 203.0.113.N, AAAA is 2001:db8::N.
_SERVER = """
import socket, sys
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind((sys.argv[1], 53))
print("listening", flush=True)
while True:
    query, client = server.recvfrom(1500)
    end = query.index(0, 12) + 5
    kind, number = query[end - 3], query[13 + 4]
    v4, v6 = bytes([203, 0, 113, number]), bytes.fromhex("20010db8") + bytes(11) + bytes([number])
    data = v4 if kind == 1 else v6
    record = b"\\xc0\\x0c\\0" + bytes([kind]) + b"\\0\\1\\0\\0\\0\\x3c\\0" + bytes([len(data)]) + data
    answer = query[:2] + b"\\x81\\x80\\0\\1\\0\\1\\0\\0\\0\\0" + query[12:end] + record
    server.sendto(answer, client)
"""


def look_up(network: Network) -> None:
    """Looks the names up."""
    address = BEHIND["server"].v4
    server = network.server.start(sys.executable, "-c", _SERVER, address)
    server.wait_for("listening")
    network.client.write("/run/resolv.conf", f"nameserver {address}\n")
    network.client.run("mount", "--bind", "/run/resolv.conf", "/etc/resolv.conf")
    names = [f"host{number}.example" for number in range(40)]
    network.client.run("getent", "ahosts", *names)


record(look_up)
