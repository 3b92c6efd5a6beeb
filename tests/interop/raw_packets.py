"""Packets as they are, into and out of an interface; a script that runs inside the lab's machines.

    send                    packets in hexadecimal on standard input, one a line
    receive COUNT           prints each packet that came in, until COUNT came or 2 s passed

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
    left = int(sys.argv[2])
    try:
        while left:
            packet, (_, _, kind, _, _) = raw.recvfrom(65536)
            if kind != socket.PACKET_OUTGOING:
                print(packet.hex(), flush=True)
                left -= 1
    except TimeoutError:
        pass


if __name__ == "__main__":
    main()
