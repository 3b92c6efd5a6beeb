"""A valid pair of files, and copies of it in which one key is wrong."""

import base64
from collections.abc import Iterator
from typing import NamedTuple

KEY, PEER, OTHER, PSK = (
    base64.b64encode(bytes(range(at, at + 32))).decode() for at in (0, 32, 64, 96)
)

CONF = f"""\
[Interface]
PrivateKey = {KEY}
ListenPort = 51820
FwMark = 0xca6c
Address = 10.9.0.1/24, fd09::1/64
DNS = 1.1.1.1, corp.example
MTU = 1380
Table = main
PreUp = true
PostUp = true
PreDown = true
PostDown = true
SaveConfig = false

[Peer]
PublicKey = {PEER}
PresharedKey = {PSK}
AllowedIPs = 10.9.0.2/32, fd09::2/128
Endpoint = [2001:db8::1]:51820
PersistentKeepalive = 25
"""

TOML = """\
threads = 1
cipher = "auto"
log_level = "info"
role = "client"
kill_switch = false
key_log = "/run/keys"
[offloads]
udp_gso = true
udp_gro = true
tso = true
uso = true
[coalesce]
psh = "merge"
"""

# By key: values of a wrong type or form, and values out of range. A hook is shell and takes any text.
_CONF_VALUES: dict[str, tuple[list[str], list[str]]] = {
    "PrivateKey": (["word", "10"], [KEY[:-4], KEY + "AAAA"]),
    "ListenPort": (["word", "1.5", "-1"], ["65536"]),
    "FwMark": (["word", "1.5", "-1"], ["0x100000000", "4294967296"]),
    "Address": (["word", "10"], ["10.9.0.1/33", "fd09::1/129", "10.9.0.256/24"]),
    "DNS": (["a:b", "1.1"], ["1.1.1.256"]),
    "MTU": (["word", "1.5"], ["67", "65476"]),
    "Table": (["word", "1.5"], ["0", "4294967296"]),
    "PreUp": ([], []),
    "PostUp": ([], []),
    "PreDown": ([], []),
    "PostDown": ([], []),
    "SaveConfig": (["word", "1", "yes"], []),
    "PublicKey": (["word", "10"], [PEER[:-4], PEER + "AAAA"]),
    "PresharedKey": (["word", "10"], [PSK[:-4], PSK + "AAAA"]),
    "AllowedIPs": (["word", "10"], ["10.9.0.2/33", "fd09::2/129", "10.9.0.256/32"]),
    "Endpoint": (["word", "10"], ["192.0.2.1:65536", "192.0.2.1:0", "192.0.2.256:1"]),
    "PersistentKeepalive": (["word", "1.5", "-1"], ["65536"]),
}
_REPEATABLE = {"Address", "DNS", "AllowedIPs", "PreUp", "PostUp", "PreDown", "PostDown"}
_REQUIRED = {"PrivateKey": "[Interface]", "PublicKey": "[Peer]"}

_TOML_VALUES: dict[str, tuple[list[str], list[str]]] = {
    "threads": (['"1"', "true", "1.0", "[1]", "{}"], ["0", "3", "-1"]),
    "cipher": (["1", "true", '["ring"]'], ['"aes"']),
    "log_level": (["1", "true"], ['"loud"']),
    "role": (["1", "true", '["client"]'], ['"server"']),
    "kill_switch": (['"true"', "1"], []),
    "key_log": (["1", "true", '["/run/keys"]'], ['""', '"keys"']),
    "udp_gso": (['"true"', "1"], []),
    "udp_gro": (['"true"', "1"], []),
    "tso": (['"true"', "1"], []),
    "uso": (['"true"', "1"], []),
    "psh": (["1", "true"], ['"split"']),
}
# The key of the other role, which needs a file of its own.
_GATEWAY_VALUES = {"isolate_peers": ['"true"', "1"]}
_TABLES = ("offloads", "coalesce")
# Instead of the first line of TOML.
_SYNTAX_ERRORS = ("threads = one", "threads =", "threads", "= 1", "threads = 1 2", "[threads")


class Broken(NamedTuple):
    """A pair of files, and the error that must be reported."""

    how: str
    conf: str
    toml: str
    file: str
    line: int
    key: str
    """Empty for a syntax error."""
    hint: str
    """A part of the message."""


def conf_keys() -> set[str]:
    return set(_CONF_VALUES)


def toml_keys() -> set[str]:
    """Without their tables."""
    return {*_TOML_VALUES, *_GATEWAY_VALUES}


def all_broken() -> Iterator[Broken]:
    yield from _broken_conf()
    yield from _broken_toml()


def _broken_conf() -> Iterator[Broken]:
    lines = CONF.splitlines()
    for key, (wrong_type, out_of_range) in _CONF_VALUES.items():
        at = next(n for n, line in enumerate(lines, 1) if line.startswith(f"{key} ="))

        def broken(how: str, hint: str, *instead: str, line: int = at, name: str = key) -> Broken:
            conf = "\n".join([*lines[: at - 1], *instead, *lines[at:]]) + "\n"  # noqa: B023
            return Broken(how, conf, TOML, "wg0.conf", line, name, hint)

        for value in wrong_type:
            yield broken(f"{key} of a wrong type", "rite", f"{key} = {value}")
        for value in out_of_range:
            yield broken(f"{key} out of range", "rite", f"{key} = {value}")
        yield broken(f"{key} empty", "", f"{key} =")
        original, misspelt = lines[at - 1], key + key[-1]
        hint = f"did you mean {key}?"
        yield broken(f"{key} misspelt", hint, original.replace(key, misspelt), name=misspelt)
        if key not in _REPEATABLE:
            hint = f"the first is at line {at}"
            yield broken(f"{key} twice", hint, original, original, line=at + 1)
        if key in _REQUIRED:
            # Without hooks, one of which may set the private key.
            conf = CONF.replace("PostUp = true\n", "").replace(original + "\n", "")
            line = conf.splitlines().index(_REQUIRED[key]) + 1
            yield Broken(f"{key} missing", conf, TOML, "wg0.conf", line, key, "missing")
        own, other = "[Interface]", "[Peer]"
        if at > lines.index(other):
            own, other = other, own
        moved = [line for line in lines if not line.startswith("PostUp")]
        line = moved.index(other) + 2
        moved.insert(line - 1, f"{key} = 1")
        conf = "\n".join(moved)
        yield Broken(f"{key} in {other}", conf, TOML, "wg0.conf", line, key, f"belongs in {own}")


def _broken_toml() -> Iterator[Broken]:
    lines = TOML.splitlines()
    file = "wg0.pyfw.toml"
    table = ""
    for at, original in enumerate(lines, 1):
        if original.startswith("["):
            table = original.strip("[]")
            continue
        key = original.partition(" =")[0]
        dotted = f"{table}.{key}" if table else key

        def broken(how: str, hint: str, instead: str, name: str = dotted) -> Broken:
            toml = "\n".join([*lines[: at - 1], instead, *lines[at:]])  # noqa: B023
            return Broken(how, CONF, toml, file, at, name, hint)  # noqa: B023

        wrong_type, out_of_range = _TOML_VALUES[key]
        for value in wrong_type:
            yield broken(f"{dotted} of a wrong type: {value}", "write ", f"{key} = {value}")
        for value in out_of_range:
            yield broken(f"{dotted} out of range", "write ", f"{key} = {value}")
        if original.endswith('"'):
            yield broken(f"{dotted} an empty string", "write ", f'{key} = ""')
        misspelt, hint = key + key[-1], f"did you mean {dotted}?"
        name = f"{table}.{misspelt}" if table else misspelt
        yield broken(f"{dotted} misspelt", hint, original.replace(key, misspelt), name)
        if table:
            yield Broken(f"{dotted} without table", CONF, f"{original}\n", file, 1, key, hint)
    for key, values in _GATEWAY_VALUES.items():
        for value in values:
            toml = f'role = "gateway"\n{key} = {value}\n'
            yield Broken(f"{key} = {value}", CONF, toml, file, 2, key, "write ")
        yield Broken(f"{key} alone", CONF, f"{key} = true", file, 1, key, "role = ")
    for table in _TABLES:
        yield Broken(f"{table} no table", CONF, f"{table} = 1\n", file, 1, table, f"[{table}]")
        misspelt = table[1:]
        hint = f"did you mean {table}"
        yield Broken(f"{table} misspelt", CONF, f"[{misspelt}]\n", file, 1, misspelt, hint)
    for instead in _SYNTAX_ERRORS:
        toml = "\n".join([instead, *lines[1:]])
        yield Broken(f"syntax error: {instead}", CONF, toml, file, 1, "", "not TOML: ")
