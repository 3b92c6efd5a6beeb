"""Parsing the kernel's counters."""

from pyfw.demo.kernel_counters import Counters, parse_interfaces, parse_pairs

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
# As in /proc/net/dev, with narrower columns.
DEV = """\
Inter-| Receive | Transmit
 face |bytes packets errs drop fifo frame compressed multicast|bytes packets errs drop ...
    lo: 1 2 0 0 0 0 0 0 3 4 0 0 0 0 0 0
   wg0: 100 10 0 0 0 0 0 0 200 20 0 7 0 0 0 0
"""


def test_names_and_values_are_paired() -> None:
    assert parse_pairs(SNMP)["Tcp.MaxConn"] == -1
    assert parse_pairs(NETSTAT)["IpExt.InOctets"] == 4711


def test_properties_read_the_kernel_names() -> None:
    counters = Counters(parse_pairs(NETSTAT) | parse_pairs(SNMP), parse_interfaces(DEV))
    assert counters.out_of_order == 17
    assert counters.retransmitted == 3
    assert counters.udp_buffer_drops == 1


def test_interface_counters_have_both_directions() -> None:
    row = parse_interfaces(DEV)["wg0"]
    assert (row["in_bytes"], row["out_bytes"], row["in_drops"], row["out_drops"]) == (
        100,
        200,
        0,
        7,
    )


def test_difference_is_taken_per_counter() -> None:
    earlier = Counters(parse_pairs(SNMP), parse_interfaces(DEV))
    later = Counters(
        earlier.protocols | {"Tcp.RetransSegs": 10},
        {"wg0": {**earlier.interfaces["wg0"], "out_drops": 9}},
    )
    assert (later - earlier).retransmitted == 7
    assert (later - earlier).interfaces["wg0"]["out_drops"] == 2
