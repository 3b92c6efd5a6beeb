"""Sends and receives raw packets at an interface; a script that runs inside a machine.

    send                    sends packets in hexadecimal from standard input, one per line
    receive COUNT           prints each packet received, until COUNT arrived or 2 s passed without one

Neither the kernel's TCP/IP nor any offload touches them on this side of the interface.
"""

import socket
import sys

_INTERFACE = "wg0"
_ETH_P_ALL, _ETH_P_IP, _ETH_P_IPV6 = 0x0003, 0x0800, 0x86DD  # linux/if_ether.h


def main() -> None:
    """Runs one command."""
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
    if sys.argv[1] == "send":
        for line in sys.stdin:
            packet = bytes.fromhex(line)
            protocol = _ETH_P_IPV6 if packet[0] >> 4 == 6 else _ETH_P_IP
            raw.sendto(packet, (_INTERFACE, protocol))
        return
    raw.bind((_INTERFACE, _ETH_P_ALL))
    raw.settimeout(2)
    print("listening", flush=True)
    remaining = int(sys.argv[2])
    try:
        while remaining:
            packet, (_, _, kind, _, _) = raw.recvfrom(65536)
            if kind != socket.PACKET_OUTGOING:
                print(packet.hex(), flush=True)
                remaining -= 1
    except TimeoutError:
        pass


if __name__ == "__main__":
    main()
