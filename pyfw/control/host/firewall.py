"""Manages the nftables table of a tunnel, `inet pyfw_NAME`, with `nft -j -f -`.

A table is always replaced as a whole in one transaction, which also removes what a killed daemon left. Rules
are libnftables' JSON (libnftables-json(5)); `match`, `meta`, `header` and `ct` build it.
"""

import asyncio
import shutil
from collections.abc import Iterable
from typing import Any

import msgspec

# linux/netfilter_ipv4.h, enum nf_ip_hook_priorities, by their names in nft.
PRIORITY_RAW, PRIORITY_MANGLE, PRIORITY_DSTNAT = -300, -150, -100
PRIORITY_FILTER, PRIORITY_SRCNAT = 0, 100

Expression = dict[str, Any]
"""A statement or expression of a rule."""

Rule = list[Expression]
"""Statements, in the order of evaluation."""

DROP: Expression = {"drop": None}
ACCEPT: Expression = {"accept": None}
MASQUERADE: Expression = {"masquerade": None}


class Chain(msgspec.Struct, frozen=True, kw_only=True):
    """A base chain; without a hook, a chain that others jump to."""

    name: str
    rules: tuple[Rule, ...] = ()
    hook: str | None = None
    """prerouting, input, forward, output, postrouting"""
    priority: int = PRIORITY_FILTER
    kind: str = "filter"
    """filter, nat, route"""
    policy: str = "accept"


class Table:
    """The table of an interface in the current network namespace.

    family, prefix: of a table of another program, such as wg-quick's.
    """

    def __init__(self, interface: str, *, family: str = "inet", prefix: str = "pyfw_") -> None:
        self.family = family
        self.name = prefix + interface

    async def apply(self, chains: Iterable[Chain]) -> None:
        """Replaces the table by these chains atomically; without chains, deletes it.

        Raises OSError with nft's message; nothing has changed then.
        """
        chains = tuple(chains)
        # Deleting a missing table fails, so add it first; adding one that exists changes nothing.
        commands = [self._add("table", {}), {"delete": {"table": self._object({}, "name")}}]
        if chains:
            commands.append(self._add("table", {}))
        commands += [self._add("chain", _chain(chain)) for chain in chains]
        commands += [
            self._add("rule", {"chain": chain.name, "expr": rule})
            for chain in chains
            for rule in chain.rules
        ]
        await run_nft(commands)

    async def remove(self) -> None:
        """Deletes the table if it exists. Raises OSError."""
        if await self.exists():
            await self.apply(())

    async def exists(self) -> bool:
        """Whether the table exists. Raises OSError."""
        if shutil.which("nft") is None:
            return False  # nothing could have created it
        listed = msgspec.json.decode(await _nft("-j", "list", "tables"))
        return any(
            (table := entry.get("table"))
            and (table["family"], table["name"]) == (self.family, self.name)
            for entry in listed["nftables"]
        )

    def _add(self, kind: str, fields: dict[str, Any]) -> dict[str, Any]:
        key = "name" if kind == "table" else "table"
        return {"add": {kind: self._object(fields, key)}}

    def _object(self, fields: dict[str, Any], key: str) -> dict[str, Any]:
        return {"family": self.family, key: self.name, **fields}


def match(left: Any, right: Any, operator: str = "==") -> Expression:
    """Returns `left OPERATOR right`. Operators are ==, !=, <, in, …; a list on the right is a set."""
    if isinstance(right, (list, tuple)):
        right = {"set": list(right)}
    return {"match": {"op": operator, "left": left, "right": right}}


def meta(key: str) -> Expression:
    """Returns `meta KEY`: iifname, oifname, mark, l4proto, nfproto, …"""
    return {"meta": {"key": key}}


def ct(key: str) -> Expression:
    """Returns `ct KEY`: state, mark, …"""
    return {"ct": {"key": key}}


def header(protocol: str, field: str) -> Expression:
    """Returns a header field: `ip daddr`, `udp dport`, …"""
    return {"payload": {"protocol": protocol, "field": field}}


def mangle(key: Expression, value: Any) -> Expression:
    """Returns `KEY set VALUE`."""
    return {"mangle": {"key": key, "value": value}}


def jump(chain: str) -> Expression:
    """Returns `jump CHAIN`."""
    return {"jump": {"target": chain}}


async def run_nft(commands: Iterable[dict[str, Any]]) -> None:
    """Runs all commands in one transaction. Raises OSError with nft's message."""
    await _nft("-j", "-f", "-", stdin=msgspec.json.encode({"nftables": list(commands)}))


async def _nft(*arguments: str, stdin: bytes = b"") -> bytes:
    try:
        process = await asyncio.create_subprocess_exec(
            "nft",
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
    except FileNotFoundError as error:
        raise OSError(error.errno, "nft is not installed (Debian: nftables)") from None
    stdout, stderr = await process.communicate(stdin)
    if process.returncode != 0:
        reason = " ".join(stderr.decode(errors="replace").split())
        raise OSError(f"nft: {reason or f'exit {process.returncode}'}")
    return stdout


def _chain(chain: Chain) -> dict[str, Any]:
    if chain.hook is None:
        return {"name": chain.name}
    return {
        "name": chain.name,
        "type": chain.kind,
        "hook": chain.hook,
        "prio": chain.priority,
        "policy": chain.policy,
    }
