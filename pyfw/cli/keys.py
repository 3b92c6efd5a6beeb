"""What genkey, genpsk and pubkey share: keys to and from text, in wg's words."""

import base64
import binascii
import os
import stat
import sys

from pyfw.cli.group import fail

_LENGTH = 44  # of 32 bytes in base64


def write(raw: bytes, *, secret: bool) -> None:
    """Prints a key; warns where others could read the file it goes to."""
    if secret:
        status = os.fstat(1)
        if stat.S_ISREG(status.st_mode) and status.st_mode & stat.S_IRWXO:
            print("Warning: writing to world accessible file.", file=sys.stderr)
            print("Consider setting the umask to 077 and trying again.", file=sys.stderr)
    try:
        print(base64.b64encode(raw).decode(), flush=True)
    except OSError as error:
        # Nothing of it is left to be flushed again at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        fail(error.strerror)


def read() -> bytes:
    """Takes one key from standard input; only blanks may follow it."""
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
