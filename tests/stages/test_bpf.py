"""tcpdump expressions are compiled by libpcap, and match the frames that libpcap matches."""

import ctypes
import re
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6

from pyfw.stage import FrameBatch, Stage
from pyfw.stages import bpf
from tests.stages.libpcap import needs_libpcap
from tests.stages.timed import TimedStageTest

pytestmark = needs_libpcap


def test_compiles_to_the_program_that_tcpdump_prints() -> None:
    expression = "tcp port 80 and not host 10.0.0.1"
    try:
        shown = subprocess.run(
            ["tcpdump", "-y", "RAW", "-ddd", expression], capture_output=True, text=True, timeout=30
        )
    except FileNotFoundError:
        pytest.skip("tcpdump is not installed")
    lines = shown.stdout.splitlines()[1:]
    assert lines
    assert [tuple(map(int, line.split())) for line in lines] == list(bpf.program(expression))


def test_packets_begin_with_their_ip_header() -> None:
    load_first_byte = (0x30, 0, 0, 0)
    assert bpf.program("ip6")[0] == load_first_byte


def test_results_are_cached() -> None:
    assert bpf.program("udp port 53") is bpf.program("udp port 53")


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("tcp prt 80", 'the filter "tcp prt 80" is invalid: '),
        ("port 70000", "illegal port number 70000 > 65535"),
        ("ip protochain 6", "loop"),
        ("ether host 00:11:22:33:44:55", "ethernet"),
        ("ip broadcast", "netmask"),
        ("  ", "the filter is empty"),
        ("tcp\0", "NUL"),
    ],
)
def test_errors_contain_the_message_of_libpcap(expression: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"(?i){re.escape(message)}"):
        bpf.program(expression)


def test_many_threads_compile_at_once() -> None:
    ports = range(20_000, 20_064)
    with ThreadPoolExecutor(8) as pool:
        programs = list(pool.map(lambda port: bpf.program(f"tcp port {port}"), ports))
    for port, program in zip(ports, programs, strict=True):
        assert port in {k for _, _, _, k in program}


class _Header(ctypes.Structure):
    """struct pcap_pkthdr: a timeval, captured length, length."""

    _fields_ = (
        ("seconds", ctypes.c_long),
        ("microseconds", ctypes.c_long),
        ("captured", ctypes.c_uint32),
        ("length", ctypes.c_uint32),
    )


def libpcap_matches(expression: str, packet: bytes) -> bool:
    """The result of libpcap's own interpreter."""
    instructions = bpf.program(expression)
    array = (bpf._Instruction * len(instructions))(
        *(bpf._Instruction(*fields) for fields in instructions)
    )
    program = bpf._Program(len(instructions), array)
    header = _Header(0, 0, len(packet), len(packet))
    accepted = bpf._library().pcap_offline_filter(
        ctypes.byref(program), ctypes.byref(header), packet
    )
    return bool(accepted)


class Matches(Stage):
    """Records which frames of a batch match an expression."""

    expression = ""
    indices: list[int]

    def process(self, batch: FrameBatch) -> None:
        self.indices = batch.where(bpf=self.expression)


PACKETS = [
    IP(src="10.0.0.1", dst="10.0.0.2") / TCP(sport=1, dport=80, flags="S"),
    IP(src="10.0.0.9", dst="10.0.1.2", options=b"\x94\x04\0\0")
    / UDP(sport=53, dport=9)
    / bytes(90),
    IP(src="10.0.0.9", dst="10.0.1.2", frag=3, flags="MF") / bytes(64),
    IP(src="10.0.0.1", dst="10.0.0.2") / ICMP(),
    IPv6(src="fd00::1", dst="fd00::2") / UDP(sport=53, dport=80) / bytes(20),
    IPv6(src="fd00::1", dst="fd00::2") / ICMPv6EchoRequest(),
]


@settings(max_examples=150, deadline=None)
@given(
    expression=st.sampled_from(
        [
            "tcp port 80",
            "udp src port 53 and not net 10.0.1.0/24",
            "icmp[icmptype] == icmp-echo or icmp6",
            "host 10.0.0.1 or net fd00::/8",
            "greater 60 and less 120",
            "ip[6:2] & 0x1fff != 0",
            "tcp[tcpflags] & (tcp-syn|tcp-fin) != 0",
            "ip[8] * 2 > len / 3 + ip[0] % 7",
            "portrange 50-60 or ip proto 1 or ip6[40] = 128",
        ]
    ),
    packet=st.sampled_from(PACKETS),
    noise=st.lists(st.tuples(st.integers(2, 47), st.integers(0, 255)), max_size=2),
)
def test_matches_the_same_frames_as_libpcap(
    expression: str, packet: Any, noise: list[tuple[int, int]]
) -> None:
    raw = bytearray(bytes(packet))
    for at, value in noise:
        if at < len(raw) and at not in (2, 3, 4, 5):  # frames have correct lengths
            raw[at] = value
    stage = Matches()
    stage.expression = expression
    with TimedStageTest(stage) as test:
        test.feed([bytes(raw)])
    assert bool(stage.indices) == libpcap_matches(expression, bytes(raw))


@pytest.fixture
def without_libpcap(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def missing(name: str) -> Any:
        raise OSError(f"{name}: cannot open shared object file")

    bpf._library.cache_clear()
    monkeypatch.setattr(ctypes, "CDLL", missing)
    yield
    bpf._library.cache_clear()


@pytest.mark.usefixtures("without_libpcap")
def test_without_libpcap_the_error_names_the_package() -> None:
    with pytest.raises(OSError, match=r"libpcap0\.8"):
        bpf.program("tcp port 4711")
