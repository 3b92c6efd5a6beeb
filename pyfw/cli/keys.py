"""Reads and writes keys for genkey, genpsk and pubkey, with wg's messages."""

import base64
import binascii
import os
import stat
import sys

from pyfw.cli.errors import fail

_LENGTH = 44  # of 32 bytes in base64


def write_key(raw: bytes, *, secret: bool) -> None:
    """Prints a key. Warns if others can read the file that a secret is written to."""
    if secret:
        status = os.fstat(1)
        if stat.S_ISREG(status.st_mode) and status.st_mode & stat.S_IRWXO:
            print("Warning: writing to world accessible file.", file=sys.stderr)
            print("Consider setting the umask to 077 and trying again.", file=sys.stderr)
    try:
        print(base64.b64encode(raw).decode(), flush=True)
    except OSError as error:
        # Keeps the interpreter from flushing the key again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        fail(error.strerror)


def read_key() -> bytes:
    """Reads a key from standard input. Only blanks may follow it."""
    text = sys.stdin.buffer.read(_LENGTH)
    if len(text) == _LENGTH:
        while rest := sys.stdin.buffer.read(4096):
            if rest.strip(b" \t\n\v\f\r\0"):
                fail("Trailing characters found after key")
    try:
        raw = base64.b64decode(text, validate=True)
    except binascii.Error:
        raw = b""
    if len(raw) != 32 or base64.b64encode(raw) != text:
        fail("Key is not the correct length or format")
    return raw
