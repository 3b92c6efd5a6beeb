"""Compiles tcpdump expressions (pcap-filter(7)) to BPF programs for `pyfw_core::bpf`, with libpcap.

Programs expect packets to begin with the IP header. libpcap is loaded with the first expression.
"""

import ctypes
import functools
import threading

Instruction = tuple[int, int, int, int]
"""(code, jt, jf, k): struct bpf_insn of libpcap."""

_DLT_RAW = 12
"""Link type of packets that begin with their IP header (pcap/dlt.h)."""
_NETMASK_UNKNOWN = 0xFFFF_FFFF
"""PCAP_NETMASK_UNKNOWN of pcap/pcap.h; libpcap then rejects "ip broadcast", which needs a netmask."""
_SNAP_LENGTH = 262_144
"""MAXIMUM_SNAPLEN of libpcap: what a program returns for a matching packet."""
_JUMP = 0x05
"""BPF_JMP | BPF_JA; its offset is negative in a loop."""
_LIBRARIES = ("libpcap.so.0.8", "libpcap.so.1", "libpcap.so")
"""The name in Debian, the upstream name, and that of development packages."""


class _Instruction(ctypes.Structure):
    _fields_ = (
        ("code", ctypes.c_ushort),
        ("jt", ctypes.c_ubyte),
        ("jf", ctypes.c_ubyte),
        ("k", ctypes.c_uint32),
    )


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint), ("instructions", ctypes.POINTER(_Instruction)))


_compiler_lock = threading.Lock()
"""Before 1.8, libpcap's compiler keeps its state in globals."""


@functools.lru_cache(maxsize=256)
def program(expression: str) -> tuple[Instruction, ...]:
    """Compiles an expression; results are cached.

    Host names in it are resolved now. Raises ValueError with libpcap's message if the expression is invalid,
    OSError if libpcap is not installed.
    """
    if not expression.strip():
        raise ValueError("the filter is empty; leave it out to see every frame")
    if "\0" in expression:
        raise ValueError("the filter contains a NUL byte")
    pcap = _library()
    compiled = _Program()
    with _compiler_lock:
        handle = pcap.pcap_open_dead(_DLT_RAW, _SNAP_LENGTH)
        if not handle:
            raise MemoryError("libpcap: pcap_open_dead")
        try:
            text = expression.encode()
            if pcap.pcap_compile(handle, ctypes.byref(compiled), text, 1, _NETMASK_UNKNOWN) != 0:
                message = pcap.pcap_geterr(handle).decode(errors="replace")
                raise ValueError(f'the filter "{expression}" is invalid: {message}')
            try:
                instructions = tuple(
                    (instruction.code, instruction.jt, instruction.jf, instruction.k)
                    for instruction in compiled.instructions[: compiled.length]
                )
            finally:
                pcap.pcap_freecode(ctypes.byref(compiled))
        finally:
            pcap.pcap_close(handle)
    if any(code == _JUMP and k >> 31 for code, _, _, k in instructions):
        raise ValueError(f'the filter "{expression}" contains a loop: protochain is not supported')
    return instructions


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
