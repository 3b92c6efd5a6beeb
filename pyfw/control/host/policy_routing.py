"""A default route that does not swallow our own datagrams, as wg-quick makes it.

It stands in a table of its own, whose number is the mark of our datagrams too. Two rules of each IP version
lead to it, and come before all there are: first whatever the main table knows better than "everything", then,
for all that does not carry the mark, the tunnel's table. Rules outlive the link, so they are on record.
"""

import contextlib
import socket
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from pyroute2 import AsyncIPRoute
from pyroute2.netlink.exceptions import NetlinkError

from pyfw.control.host.step_reporter import StepReporter
from pyfw.control.host.undo_log import Rule

FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
TABLE_MAIN = 254  # rtnetlink(7)

# wg-quick looks for a free table from here on.
_TABLE_FIRST = 51_820
_FIB_RULE_INVERT = 2  # linux/fib_rules.h
_PRIORITY_MAIN = 32_766  # of the main table's rule (ip-rule(8))
_VALID_MARK = Path("/proc/sys/net/ipv4/conf/all/src_valid_mark")


async def free_table(ipr: AsyncIPRoute) -> int:
    """The first table that no route of either IP version is in."""
    taken = set()
    for family in FAMILIES.values():
        async for route in await ipr.route("dump", family=family):
            taken.add(route.get_attr("RTA_TABLE"))
    table = _TABLE_FIRST
    while table in taken:
        table += 1
    return table


async def plan(ipr: AsyncIPRoute, versions: Collection[int], table: int) -> list[Rule]:
    """The rules that lead to `table`, in the order they have to be made; nothing is made yet."""
    rules = []
    for version in sorted(versions):
        # The kernel's own choice for a rule without a priority: one below the lowest.
        last = await _lowest_priority(ipr, version)
        rules += [
            Rule(version=version, priority=max(1, last - 1), table=table, mark=table),
            Rule(version=version, priority=max(1, last - 2), table=TABLE_MAIN),
        ]
    return rules


async def add(ipr: AsyncIPRoute, rules: Iterable[Rule], steps: StepReporter) -> None:
    """Makes rules. Raises NetlinkError."""
    for rule in rules:
        steps.step(f"ip -{rule.version} rule add {_words(rule)}")
        await ipr.rule("add", **_arguments(rule))


async def remove(rules: Iterable[Rule], steps: StepReporter) -> None:
    """Takes rules away; those that are gone already are no error. Raises OSError."""
    rules = list(rules)
    if not rules:
        return
    async with AsyncIPRoute() as ipr:
        for rule in rules:
            steps.step(f"ip -{rule.version} rule delete {_words(rule)}")
            with contextlib.suppress(NetlinkError):
                await ipr.rule("del", **_arguments(rule))


async def marked(mark: int) -> list[Rule]:
    """The rules that somebody (wg-quick) made for a tunnel of this mark, with nothing on record."""
    found = []
    async with AsyncIPRoute() as ipr:
        for version, family in FAMILIES.items():
            rules = [rule async for rule in await ipr.rule("dump", family=family)]
            for at, rule in enumerate(rules):
                if rule.get_attr("FRA_FWMARK") == mark == rule.get_attr("FRA_TABLE"):
                    found.append(_rule(version, rule, mark))
                    # The one that was made after it stands before it.
                    if at and rules[at - 1].get_attr("FRA_SUPPRESS_PREFIXLEN") == 0:
                        found.append(_rule(version, rules[at - 1], None))
    return found


def let_marked_replies_in(steps: StepReporter) -> None:
    """Without this the reverse-path filter, where it is strict, drops the answers to our datagrams.

    It stays, as with wg-quick: other tunnels may have come to need it.
    """
    try:
        if _VALID_MARK.read_text().strip() != "1":
            steps.step("sysctl -q net.ipv4.conf.all.src_valid_mark=1")
            _VALID_MARK.write_text("1")
    except OSError as error:
        steps.warning("src_valid_mark is not set", reason=str(error))


async def _lowest_priority(ipr: AsyncIPRoute, version: int) -> int:
    lowest = _PRIORITY_MAIN
    async for rule in await ipr.rule("dump", family=FAMILIES[version]):
        # 0 is the local table's.
        if priority := rule.get_attr("FRA_PRIORITY"):
            lowest = min(lowest, priority)
    return lowest


def _arguments(rule: Rule) -> dict[str, Any]:
    arguments = {
        "family": FAMILIES[rule.version],
        "priority": rule.priority,
        "table": rule.table,
    }
    if rule.mark is None:
        return {**arguments, "FRA_SUPPRESS_PREFIXLEN": 0}
    mark = {"fwmark": rule.mark, "fwmask": 0xFFFF_FFFF}
    return {**arguments, **mark, "flags": _FIB_RULE_INVERT}


def _words(rule: Rule) -> str:
    if rule.mark is None:
        return f"priority {rule.priority} table main suppress_prefixlength 0"
    return f"priority {rule.priority} not fwmark {rule.mark} table {rule.table}"


def _rule(version: int, found: Any, mark: int | None) -> Rule:
    return Rule(
        version=version,
        priority=found.get_attr("FRA_PRIORITY") or 0,
        table=found.get_attr("FRA_TABLE"),
        mark=mark,
    )
