"""BPF: an expression as tcpdump takes it becomes a program for `pyfw_core::bpf`, compiled by libpcap.

In: "tcp port 80 and host 10.0.0.1" (pcap-filter(7)), meant for packets from the IP header on. Out: its
instructions, the same tuple for the same text. libpcap is loaded when the first expression comes.
"""

import ctypes
import functools
import threading

Instruction = tuple[int, int, int, int]
"""(code, jt, jf, k): struct bpf_insn of libpcap."""

_DLT_RAW = 12
"""pcap/dlt.h: packets begin with their IP header."""
_NETMASK_UNKNOWN = 0xFFFF_FFFF
"""PCAP_NETMASK_UNKNOWN of pcap/pcap.h; only "ip broadcast" asks for it, and is refused then."""
_SNAP_LENGTH = 262_144
"""MAXIMUM_SNAPLEN of libpcap: what a program answers for a packet that matches."""
_JUMP = 0x05
"""BPF_JMP | BPF_JA; one that leads back has a negative offset."""
_LIBRARIES = ("libpcap.so.0.8", "libpcap.so.1", "libpcap.so")
"""Debian's name, everybody's, and that of development packages."""


class _Instruction(ctypes.Structure):
    _fields_ = (
        ("code", ctypes.c_ushort),
        ("jt", ctypes.c_ubyte),
        ("jf", ctypes.c_ubyte),
        ("k", ctypes.c_uint32),
    )


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint), ("instructions", ctypes.POINTER(_Instruction)))


_one_at_a_time = threading.Lock()
"""Before 1.8 libpcap's compiler kept its state in globals."""


@functools.lru_cache(maxsize=256)
def program(expression: str) -> tuple[Instruction, ...]:
    """Compiles an expression; what was compiled before costs nothing.

    Names of hosts in it are looked up here and now. Raises ValueError with libpcap's words where the
    expression is wrong, OSError where there is no libpcap.
    """
    if not expression.strip():
        raise ValueError("the filter is empty; leave it out to see every frame")
    if "\0" in expression:
        raise ValueError("the filter contains a NUL byte")
    pcap = _library()
    compiled = _Program()
    with _one_at_a_time:
        handle = pcap.pcap_open_dead(_DLT_RAW, _SNAP_LENGTH)
        if not handle:
            raise MemoryError("libpcap: pcap_open_dead")
        try:
            text = expression.encode()
            if pcap.pcap_compile(handle, ctypes.byref(compiled), text, 1, _NETMASK_UNKNOWN) != 0:
                words = pcap.pcap_geterr(handle).decode(errors="replace")
                raise ValueError(f'the filter "{expression}" is wrong: {words}')
            try:
                found = tuple(
                    (one.code, one.jt, one.jf, one.k)
                    for one in compiled.instructions[: compiled.length]
                )
            finally:
                pcap.pcap_freecode(ctypes.byref(compiled))
        finally:
            pcap.pcap_close(handle)
    if any(code == _JUMP and k >> 31 for code, _, _, k in found):
        raise ValueError(f'the filter "{expression}" loops: protochain is not supported')
    return found


@functools.cache
def _library() -> ctypes.CDLL:
    for name in _LIBRARIES:
        try:
            pcap = ctypes.CDLL(name)
        except OSError:
            continue
        pcap.pcap_open_dead.argtypes = (ctypes.c_int, ctypes.c_int)
        pcap.pcap_open_dead.restype = ctypes.c_void_p
        pcap.pcap_compile.argtypes = (
            ctypes.c_void_p,
            ctypes.POINTER(_Program),
            ctypes.c_char_p,
            ctypes.c_int,
            ctypes.c_uint32,
        )
        pcap.pcap_geterr.argtypes = (ctypes.c_void_p,)
        pcap.pcap_geterr.restype = ctypes.c_char_p
        pcap.pcap_freecode.argtypes = (ctypes.POINTER(_Program),)
        pcap.pcap_freecode.restype = None
        pcap.pcap_close.argtypes = (ctypes.c_void_p,)
        pcap.pcap_close.restype = None
        return pcap
    raise OSError(
        "BPF filters need libpcap, which is not installed (Debian: apt install libpcap0.8)"
    )
