"""Expressions become programs by libpcap, and what cannot be is said in its words."""

import ctypes
import re
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from pyfw.stages import bpf

try:
    bpf.program("ip")
except OSError as missing:
    pytest.skip(str(missing), allow_module_level=True)


def test_an_expression_becomes_the_program_that_tcpdump_shows() -> None:
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


def test_the_same_text_is_compiled_once() -> None:
    assert bpf.program("udp port 53") is bpf.program("udp port 53")


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("tcp prt 80", 'the filter "tcp prt 80" is wrong: '),
        ("port 70000", "illegal port number 70000 > 65535"),
        ("ip protochain 6", "loops"),
        ("ether host 00:11:22:33:44:55", "ethernet"),
        ("ip broadcast", "netmask"),
        ("  ", "the filter is empty"),
        ("tcp\0", "NUL"),
    ],
)
def test_a_wrong_expression_is_a_value_error_in_libpcaps_words(expression: str, words: str) -> None:
    with pytest.raises(ValueError, match=f"(?i){re.escape(words)}"):
        bpf.program(expression)


def test_many_threads_may_compile_at_once() -> None:
    ports = range(20_000, 20_064)
    with ThreadPoolExecutor(8) as pool:
        programs = list(pool.map(lambda port: bpf.program(f"tcp port {port}"), ports))
    for port, program in zip(ports, programs, strict=True):
        assert port in {k for _, _, _, k in program}


@pytest.fixture
def without_libpcap(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def missing(name: str) -> Any:
        raise OSError(f"{name}: cannot open shared object file")

    bpf._library.cache_clear()
    monkeypatch.setattr(ctypes, "CDLL", missing)
    yield
    bpf._library.cache_clear()


@pytest.mark.usefixtures("without_libpcap")
def test_without_libpcap_it_says_what_to_install() -> None:
    with pytest.raises(OSError, match=r"libpcap0\.8"):
        bpf.program("tcp port 4711")
