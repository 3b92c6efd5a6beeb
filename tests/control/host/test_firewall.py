"""firewall: tables, in network namespaces of their own."""

import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.control.test_daemon import unshare

ROOT = Path(__file__).parents[3]

pytestmark = [
    pytest.mark.netns,
    pytest.mark.skipif(unshare() is None, reason="no network namespace or no /dev/net/tun here"),
    pytest.mark.skipif(shutil.which("nft") is None, reason="nft is not installed"),
]


def run_in_namespace(body: str) -> list[str]:
    """Runs the lines of a coroutine in a new namespace, and returns the output."""
    script = (
        "import asyncio, subprocess\n"
        "from pyfw.control.host.firewall import *\n"
        "def ruleset():\n"
        "    return subprocess.run(['nft', 'list', 'ruleset'], capture_output=True, text=True).stdout\n"
        "async def main():\n"
        + "".join(f"    {line}\n" for line in body.strip().splitlines())
        + "asyncio.run(main())\n"
    )
    done = subprocess.run(
        [*(unshare() or ()), sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_table_has_its_rules_in_order() -> None:
    output = run_in_namespace("""
own = match(header("ip", "daddr"), "10.9.0.1")
rules = ([match(meta("iifname"), "wg0", "!="), own, DROP], [match(header("udp", "dport"), [53, 54]), ACCEPT])
await Table("wg0").apply([Chain(name="in", hook="input", priority=PRIORITY_RAW, rules=rules, policy="drop")])
print(ruleset())
""")
    assert [line.strip() for line in output if line.strip()] == [
        "table inet pyfw_wg0 {",
        "chain in {",
        "type filter hook input priority raw; policy drop;",
        'iifname != "wg0" ip daddr 10.9.0.1 drop',
        "udp dport { 53, 54 } accept",
        "}",
        "}",
    ]


def test_a_table_is_replaced_and_deleted_as_a_whole() -> None:
    output = run_in_namespace("""
table = Table("wg0")
await table.apply([Chain(name="one"), Chain(name="two", rules=([jump("one")],))])
await table.apply([Chain(name="three")])
print("one" in ruleset(), "three" in ruleset(), await table.exists())
await table.remove()
print(repr(ruleset()), await table.exists())
await table.remove()
""")
    assert output == ["False True True", "'' False"]


def test_other_tables_stay() -> None:
    output = run_in_namespace("""
subprocess.run(["nft", "add table inet other; add table ip pyfw_wg0"], check=True)
await Table("wg0").apply([Chain(name="one")])
await Table("wg0").remove()
print(ruleset().split())
""")
    assert output == [str("table inet other { } table ip pyfw_wg0 { }".split())]


def test_an_error_has_nfts_message_and_changes_nothing() -> None:
    output = run_in_namespace("""
await Table("wg0").apply([Chain(name="one")])
try:
    await Table("wg0").apply([Chain(name="two", rules=([jump("nowhere")],))])
except OSError as error:
    print(error)
print("one" in ruleset(), "two" in ruleset())
""")
    assert output[0].startswith("nft: ") and "No such file or directory" in output[0]
    assert output[1] == "True False"


def test_a_missing_nft_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    from pyfw.control.host.firewall import Chain, Table

    monkeypatch.setenv("PATH", "")
    assert not asyncio.run(Table("wg0").exists())
    with pytest.raises(OSError, match="nft is not installed"):
        asyncio.run(Table("wg0").apply([Chain(name="one")]))


def test_special_characters_in_an_interface_name_work() -> None:
    output = run_in_namespace("""
await Table("a=+.-b").apply([Chain(name="one")])
print(await Table("a=+.-b").exists())
await Table("a=+.-b").remove()
print(await Table("a=+.-b").exists())
""")
    assert output == ["True", "False"]
