"""Policy routing for a default route that the tunnel's own datagrams bypass, as wg-quick sets it up.

The route is in a table of its own, whose number is also the mark of the tunnel's datagrams. Per IP version
two rules precede all others: the first looks up the main table but ignores its default route; the second
sends everything without the mark to the tunnel's table. Rules outlive the link, so they are recorded.
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

# The first table that wg-quick tries.
_TABLE_FIRST = 51_820
_FIB_RULE_INVERT = 2  # linux/fib_rules.h
_PRIORITY_MAIN = 32_766  # of the rule for the main table (ip-rule(8))
_VALID_MARK = Path("/proc/sys/net/ipv4/conf/all/src_valid_mark")


async def free_table(ipr: AsyncIPRoute) -> int:
    """Returns the first table without routes of either IP version."""
    taken = set()
    for family in FAMILIES.values():
        async for route in await ipr.route("dump", family=family):
            taken.add(route.get_attr("RTA_TABLE"))
    table = _TABLE_FIRST
    while table in taken:
        table += 1
    return table


async def plan(ipr: AsyncIPRoute, versions: Collection[int], table: int) -> list[Rule]:
    """Returns the rules that lead to `table`, in the order in which to add them."""
    rules = []
    for version in sorted(versions):
        # The kernel assigns to a rule without a priority one below the lowest.
        lowest = await _lowest_priority(ipr, version)
        rules += [
            Rule(version=version, priority=max(1, lowest - 1), table=table, mark=table),
            Rule(version=version, priority=max(1, lowest - 2), table=TABLE_MAIN),
        ]
    return rules


async def add(ipr: AsyncIPRoute, rules: Iterable[Rule], steps: StepReporter) -> None:
    """Adds rules. Raises NetlinkError."""
    for rule in rules:
        steps.step(f"ip -{rule.version} rule add {_ip_arguments(rule)}")
        await ipr.rule("add", **_netlink_arguments(rule))


async def remove(rules: Iterable[Rule], steps: StepReporter) -> None:
    """Deletes rules, and ignores missing ones. Raises OSError."""
    rules = list(rules)
    if not rules:
        return
    async with AsyncIPRoute() as ipr:
        for rule in rules:
            steps.step(f"ip -{rule.version} rule delete {_ip_arguments(rule)}")
            with contextlib.suppress(NetlinkError):
                await ipr.rule("del", **_netlink_arguments(rule))


async def find_rules(mark: int) -> list[Rule]:
    """Returns the rules of a tunnel with this mark that is not recorded: one of wg-quick."""
    found = []
    async with AsyncIPRoute() as ipr:
        for version, family in FAMILIES.items():
            rules = [rule async for rule in await ipr.rule("dump", family=family)]
            for at, rule in enumerate(rules):
                if rule.get_attr("FRA_FWMARK") == mark == rule.get_attr("FRA_TABLE"):
                    found.append(_rule(version, rule, mark))
                    # The rule that was added after it precedes it.
                    if at and rules[at - 1].get_attr("FRA_SUPPRESS_PREFIXLEN") == 0:
                        found.append(_rule(version, rules[at - 1], None))
    return found


def enable_src_valid_mark(steps: StepReporter) -> None:
    """Makes a strict reverse-path filter accept replies to the tunnel's datagrams.

    The setting stays, as with wg-quick: other tunnels may depend on it by then.
    """
    try:
        if _VALID_MARK.read_text().strip() != "1":
            steps.step("sysctl -q net.ipv4.conf.all.src_valid_mark=1")
            _VALID_MARK.write_text("1")
    except OSError as error:
        steps.warning("setup.src_valid_mark_failed", f"cannot set src_valid_mark: {error}")


async def _lowest_priority(ipr: AsyncIPRoute, version: int) -> int:
    lowest = _PRIORITY_MAIN
    async for rule in await ipr.rule("dump", family=FAMILIES[version]):
        # 0 is the rule of the local table.
        if priority := rule.get_attr("FRA_PRIORITY"):
            lowest = min(lowest, priority)
    return lowest


def _netlink_arguments(rule: Rule) -> dict[str, Any]:
    arguments = {
        "family": FAMILIES[rule.version],
        "priority": rule.priority,
        "table": rule.table,
    }
    if rule.mark is None:
        return {**arguments, "FRA_SUPPRESS_PREFIXLEN": 0}
    mark = {"fwmark": rule.mark, "fwmask": 0xFFFF_FFFF}
    return {**arguments, **mark, "flags": _FIB_RULE_INVERT}


def _ip_arguments(rule: Rule) -> str:
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
