"""The kernel's counters, read."""

from pyfw.demo.kernel_counters import Counters, dropped, interfaces, paired

NETSTAT = """\
TcpExt: SyncookiesSent TCPOFOQueue TCPLostRetransmit
TcpExt: 0 17 2
IpExt: InNoRoutes InOctets
IpExt: 0 4711
"""
SNMP = """\
Tcp: RtoAlgorithm MaxConn InSegs RetransSegs
Tcp: 1 -1 1000 3
Udp: InDatagrams RcvbufErrors
Udp: 5 1
"""
# As /proc/net/dev has it, with narrower columns.
DEV = """\
Inter-| Receive | Transmit
 face |bytes packets errs drop fifo frame compressed multicast|bytes packets errs drop ...
    lo: 1 2 0 0 0 0 0 0 3 4 0 0 0 0 0 0
   wg0: 100 10 0 0 0 0 0 0 200 20 0 7 0 0 0 0
"""


def test_names_and_values_are_paired_line_by_line() -> None:
    assert paired(SNMP)["Tcp.MaxConn"] == -1
    assert paired(NETSTAT)["IpExt.InOctets"] == 4711


def test_out_of_order_segments_are_those_of_the_tcp_extension() -> None:
    counters = Counters(paired(NETSTAT) | paired(SNMP), interfaces(DEV))
    assert counters.out_of_order == 17
    assert counters.retransmitted == 3
    assert counters.tcp_received == 1000
    assert counters.udp_buffer_drops == 1


def test_interfaces_tell_both_directions_apart() -> None:
    row = interfaces(DEV)["wg0"]
    assert (row["in_bytes"], row["out_bytes"], row["in_drops"], row["out_drops"]) == (
        100,
        200,
        0,
        7,
    )


def test_a_difference_is_taken_counter_by_counter() -> None:
    earlier = Counters(paired(SNMP), interfaces(DEV))
    later = Counters(
        earlier.protocols | {"Tcp.RetransSegs": 10},
        {"wg0": {**earlier.interfaces["wg0"], "out_drops": 9}},
    )
    assert (later - earlier).retransmitted == 7
    assert (later - earlier).interfaces["wg0"]["out_drops"] == 2


# As /proc/net/udp has it, with fewer columns: two sockets on port 51820 (0xCA6C), one on port 53.
UDP = """\
   sl  local_address rem_address   st tx_queue rx_queue inode ref pointer drops
  101: 00000000:CA6C 00000000:0000 07 00000000:00000000 1234 2 0000000000000000 17
  101: 010200C0:CA6C 020200C0:CA6C 01 00000000:00000000 1235 2 0000000000000000 4
  204: 00000000:0035 00000000:0000 07 00000000:00000000 1236 2 0000000000000000 99
"""


def test_drops_of_all_sockets_of_a_port_are_added_up() -> None:
    assert dropped(UDP, 51820) == 21
    assert dropped(UDP, 53) == 99
    assert dropped(UDP, 80) == 0
