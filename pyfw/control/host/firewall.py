"""One nftables table a tunnel, `inet pyfw_NAME`: chains in, one transaction of `nft -j -f -` out.

A table is always replaced whole, so that what a killed daemon left of it goes in the same transaction, and
nobody ever sees half of it. Rules keep the order they are given in; they are libnftables' JSON
(libnftables-json(5)), for which `match`, `meta`, `header` and `ct` are short.
"""

import asyncio
import shutil
from collections.abc import Iterable
from typing import Any

import msgspec

# linux/netfilter_ipv4.h, enum nf_ip_hook_priorities; the names are nft's.
PRIORITY_RAW, PRIORITY_MANGLE, PRIORITY_DSTNAT = -300, -150, -100
PRIORITY_FILTER, PRIORITY_SRCNAT = 0, 100

Expression = dict[str, Any]
"""One statement or expression of a rule."""

Rule = list[Expression]
"""Statements, from left to right."""

DROP: Expression = {"drop": None}
ACCEPT: Expression = {"accept": None}
MASQUERADE: Expression = {"masquerade": None}


class Chain(msgspec.Struct, frozen=True, kw_only=True):
    """A base chain, or (without a hook) one that others jump to."""

    name: str
    rules: tuple[Rule, ...] = ()
    hook: str | None = None
    """prerouting, input, forward, output, postrouting"""
    priority: int = PRIORITY_FILTER
    kind: str = "filter"
    """filter, nat, route"""
    policy: str = "accept"


class Table:
    """The table of one interface, in the current network namespace, recognised by its name.

    family, prefix: of a table that is not ours, such as wg-quick's.
    """

    def __init__(self, interface: str, *, family: str = "inet", prefix: str = "pyfw_") -> None:
        self.family = family
        self.name = prefix + interface

    async def apply(self, chains: Iterable[Chain]) -> None:
        """Makes the table consist of these chains, in one step; of none: takes it away.

        Raises OSError with nft's words; then nothing was changed.
        """
        chains = tuple(chains)
        # A table can be deleted only where it is: so it is made first, which changes nothing where it was.
        commands = [self._add("table", {}), {"delete": {"table": self._here({}, "name")}}]
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
        """Takes the table away, if it is there. Raises OSError."""
        if await self.exists():
            await self.apply(())

    async def exists(self) -> bool:
        """Whether it is there; without nft, nobody has made one."""
        if shutil.which("nft") is None:
            return False
        listed = msgspec.json.decode(await _nft("-j", "list", "tables"))
        return any(
            (table := entry.get("table"))
            and (table["family"], table["name"]) == (self.family, self.name)
            for entry in listed["nftables"]
        )

    def _add(self, what: str, fields: dict[str, Any]) -> dict[str, Any]:
        key = "name" if what == "table" else "table"
        return {"add": {what: self._here(fields, key)}}

    def _here(self, fields: dict[str, Any], key: str) -> dict[str, Any]:
        return {"family": self.family, key: self.name, **fields}


def match(left: Any, right: Any, operator: str = "==") -> Expression:
    """`left OPERATOR right`; operators are ==, !=, <, in, …; a list on the right is a set."""
    if isinstance(right, (list, tuple)):
        right = {"set": list(right)}
    return {"match": {"op": operator, "left": left, "right": right}}


def meta(key: str) -> Expression:
    """`meta KEY`: iifname, oifname, mark, l4proto, nfproto, …"""
    return {"meta": {"key": key}}


def ct(key: str) -> Expression:
    """`ct KEY`: state, mark, …"""
    return {"ct": {"key": key}}


def header(protocol: str, field: str) -> Expression:
    """A field of a header: `ip daddr`, `udp dport`, …"""
    return {"payload": {"protocol": protocol, "field": field}}


def mangle(key: Expression, value: Any) -> Expression:
    """`KEY set VALUE`."""
    return {"mangle": {"key": key, "value": value}}


def jump(chain: str) -> Expression:
    """`jump CHAIN`."""
    return {"jump": {"target": chain}}


async def run_nft(commands: Iterable[dict[str, Any]]) -> None:
    """Does all of them or none. Raises OSError with nft's words."""
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
    told, refused = await process.communicate(stdin)
    if process.returncode != 0:
        words = " ".join(refused.decode(errors="replace").split())
        raise OSError(f"nft: {words or f'exit {process.returncode}'}")
    return told


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
