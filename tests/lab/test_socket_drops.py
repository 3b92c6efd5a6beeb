"""Reading the drops of UDP sockets."""

from lab.socket_drops import parse_drops

# As in /proc/net/udp, with fewer columns: two sockets on port 51820 (0xCA6C), one on port 53.
UDP = """\
   sl  local_address rem_address   st tx_queue rx_queue inode ref pointer drops
  101: 00000000:CA6C 00000000:0000 07 00000000:00000000 1234 2 0000000000000000 17
  101: 010200C0:CA6C 020200C0:CA6C 01 00000000:00000000 1235 2 0000000000000000 4
  204: 00000000:0035 00000000:0000 07 00000000:00000000 1236 2 0000000000000000 99
"""


def test_drops_of_all_sockets_on_a_port_are_summed() -> None:
    assert parse_drops(UDP, 51820) == 21
    assert parse_drops(UDP, 53) == 99
    assert parse_drops(UDP, 80) == 0
