"""A valid pair of files, and every key of them broken in every way that there is for it."""

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

# By key: values of a wrong type or form, and values out of range. Hooks are shell: any text is one.
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
REPEATED = {"Address", "DNS", "AllowedIPs", "PreUp", "PostUp", "PreDown", "PostDown"}
_REQUIRED = {"PrivateKey": "[Interface]", "PublicKey": "[Peer]"}

_TOML_VALUES: dict[str, tuple[list[str], list[str]]] = {
    "threads": (['"1"', "true", "1.0", "[1]", "{}", "one"], ["0", "3", "-1"]),
    "cipher": (["1", "true", '["ring"]', "ring"], ['"aes"']),
    "log_level": (["1", "true", "info"], ['"loud"']),
    "role": (["1", "true", "gateway", '["client"]'], ['"server"']),
    "kill_switch": (['"true"', "1", "on"], []),
    "key_log": (["1", "true", '["/run/keys"]'], ['""', '"keys"']),
    "udp_gso": (['"true"', "1", "True"], []),
    "udp_gro": (['"true"', "1", "yes"], []),
    "tso": (['"true"', "1", "on"], []),
    "uso": (['"true"', "1", "on"], []),
    "psh": (["1", "true", "merge"], ['"split"']),
}
# With one role a key of the other is an error; it is broken beside its own.
OF_GATEWAY: dict[str, tuple[list[str], list[str]]] = {"isolate_peers": (['"true"', "1", "no"], [])}
TABLES = ("offloads", "coalesce")


class Broken(NamedTuple):
    """One pair of files, and what must be said of it."""

    how: str
    conf: str
    toml: str
    file: str
    line: int
    key: str
    hint: str
    """A part of what must be said."""


def conf_keys() -> set[str]:
    return set(_CONF_VALUES)


def toml_keys() -> set[str]:
    """Without their tables."""
    return {*_TOML_VALUES, *OF_GATEWAY}


def all_broken() -> Iterator[Broken]:
    yield from _broken_conf()
    yield from _broken_toml()


def _broken_conf() -> Iterator[Broken]:
    lines = CONF.splitlines()
    for key, (wrong, beyond) in _CONF_VALUES.items():
        at = next(n for n, line in enumerate(lines, 1) if line.startswith(f"{key} ="))

        def broken(how: str, hint: str, *instead: str, off: int = 0, named: str = "") -> Broken:
            text = [*lines[: at - 1], *instead, *lines[at:]]  # noqa: B023
            conf = "\n".join(text) + "\n"
            return Broken(how, conf, TOML, "wg0.conf", at + off, named or key, hint)  # noqa: B023

        for value in wrong:
            yield broken(f"{key} of a wrong type", "rite", f"{key} = {value}")
        for value in beyond:
            yield broken(f"{key} out of range", "rite", f"{key} = {value}")
        yield broken(f"{key} empty", "", f"{key} =")
        misspelt = key + key[-1]
        yield broken(
            f"{key} misspelt", f"did you mean {key}?", lines[at - 1].replace(key, misspelt),
            named=misspelt,
        )  # fmt: skip
        if key not in REPEATED:
            yield broken(
                f"{key} twice", f"the first is at line {at}", lines[at - 1], lines[at - 1], off=1
            )
        if key in _REQUIRED:
            header = lines.index(_REQUIRED[key]) + 1
            # A hook may set the private key; without hooks it has to be there.
            conf = CONF.replace("PostUp = true\n", "").replace(lines[at - 1] + "\n", "")
            line = conf.splitlines().index(_REQUIRED[key]) + 1
            assert line <= header
            yield Broken(f"{key} missing", conf, TOML, "wg0.conf", line, key, "missing")
        other = "[Peer]" if at < lines.index("[Peer]") else "[Interface]"
        home = "[Interface]" if other == "[Peer]" else "[Peer]"
        moved = [line for line in lines if not line.startswith("PostUp")]
        moved.insert(moved.index(other) + 1, f"{key} = 1")
        yield Broken(
            f"{key} in {other}", "\n".join(moved), TOML, "wg0.conf", moved.index(other) + 2, key,
            f"belongs into {home}",
        )  # fmt: skip


def _broken_toml() -> Iterator[Broken]:
    lines = TOML.splitlines()
    table = ""
    for at, line in enumerate(lines, 1):
        if line.startswith("["):
            table = line.strip("[]")
            continue
        key = line.partition(" =")[0]
        dotted = f"{table}.{key}" if table else key
        wrong, beyond = _TOML_VALUES[key]

        def broken(how: str, hint: str, *instead: str, off: int = 0, named: str = "") -> Broken:
            toml = "\n".join([*lines[: at - 1], *instead, *lines[at:]])  # noqa: B023
            name = named or dotted  # noqa: B023
            return Broken(how, CONF, toml, "wg0.pyfw.toml", at + off, name, hint)  # noqa: B023

        for value in wrong:
            yield broken(f"{dotted} of a wrong type: {value}", "write ", f"{key} = {value}")
        for value in beyond:
            yield broken(f"{dotted} out of range", "write ", f"{key} = {value}")
        yield broken(f"{dotted} empty", "write ", f"{key} =")
        if line.endswith('"'):
            yield broken(f"{dotted} an empty string", "write ", f'{key} = ""')
        yield broken(f"{dotted} without =", "write ", key)
        misspelt = key + key[-1]
        yield broken(
            f"{dotted} misspelt", f"did you mean {dotted}?", line.replace(key, misspelt),
            named=f"{table}.{misspelt}" if table else misspelt,
        )  # fmt: skip
        yield broken(f"{dotted} twice", f"the first is at line {at}", line, line, off=1)
        if table:
            toml = f"{line}\n"
            hint = f"did you mean {dotted}?"
            yield Broken(f"{dotted} without table", CONF, toml, "wg0.pyfw.toml", 1, key, hint)
    for key, (wrong, _) in OF_GATEWAY.items():
        for value in [*wrong, ""]:
            toml = f'role = "gateway"\n{key} = {value}\n'
            yield Broken(f"{key} = {value}", CONF, toml, "wg0.pyfw.toml", 2, key, "write ")
        yield Broken(f"{key} alone", CONF, f"{key} = true", "wg0.pyfw.toml", 1, key, "role = ")
    for table in TABLES:
        toml = f"{table} = 1\n"
        yield Broken(f"{table} no table", CONF, toml, "wg0.pyfw.toml", 1, table, f"[{table}]")
        toml = f"[{table[1:]}]\n"
        hint = f"did you mean {table}"
        yield Broken(f"{table} misspelt", CONF, toml, "wg0.pyfw.toml", 1, table[1:], hint)
        twice = f"[{table}]\n[{table}]\n"
        yield Broken(f"{table} twice", CONF, twice, "wg0.pyfw.toml", 2, table, "at line 1")
