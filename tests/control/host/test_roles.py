"""roles: chains, as printed by nft. forwarding: shared by the gateways of a namespace."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pyfw.config import Settings
from pyfw.control.host import roles
from tests.control.test_daemon import unshare

ROOT = Path(__file__).parents[3]

in_namespace = [
    pytest.mark.netns,
    pytest.mark.skipif(unshare() is None, reason="no network namespace or no /dev/net/tun here"),
]


def run_in_namespace(body: str, directory: Path) -> list[str]:
    """Runs Python in a new namespace with the state in `directory`, and returns the output."""
    script = (
        "import asyncio, subprocess\n"
        "from pathlib import Path\n"
        "from pyfw.config import Settings\n"
        "from pyfw.control.host import forwarding, roles, undo_log\n"
        "from pyfw.control.host.step_reporter import StepReporter\n"
        "from pyfw.control.host.firewall import Table\n"
        f"undo_log.DIRECTORY = Path({str(directory)!r})\n"
        "net = Path('/proc/sys/net')\n"
        f"{body}"
    )
    done = subprocess.run(
        [*(unshare() or ()), sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    return [line.strip() for line in done.stdout.splitlines() if line.strip()]


@pytest.mark.parametrize("settings", [Settings(), Settings(role="client")])
def test_without_a_role_there_is_no_chain(settings: Settings) -> None:
    assert roles.chains("wg0", settings, 1) == []


RULESETS = [
    (
        'role="gateway"',
        [
            "chain masquerade {",
            "type nat hook postrouting priority srcnat; policy accept;",
            'iifname "wg0" oifname != "wg0" masquerade',
            "}",
            "chain isolate_reject {",
            "type filter hook prerouting priority filter; policy accept;",
            'iifname "wg0" fib daddr oifname "wg0" reject with icmpx admin-prohibited',
            "}",
            "chain isolate_drop {",
            "type filter hook forward priority filter; policy accept;",
            'iifname "wg0" oifname "wg0" drop',
            "}",
        ],
    ),
    (
        'role="gateway", isolate_peers=False',
        [
            "chain masquerade {",
            "type nat hook postrouting priority srcnat; policy accept;",
            'iifname "wg0" oifname != "wg0" masquerade',
            "}",
        ],
    ),
    (
        'role="client", kill_switch=True',
        [
            "chain kill_switch_output {",
            "type filter hook output priority filter; policy accept;",
            'oifname { "lo", "wg0" } accept',
            "meta l4proto udp meta mark 0x0000ca6c accept",
            "udp sport 68 udp dport 67 accept",
            "udp sport 546 udp dport 547 accept",
            "icmpv6 type { nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert, "
            "mld2-listener-report } accept",
            "reject with icmpx admin-prohibited",
            "}",
            "chain kill_switch_forward {",
            "type filter hook forward priority filter; policy accept;",
            'oifname { "lo", "wg0" } accept',
            'iifname "wg0" accept',
            "reject with icmpx admin-prohibited",
            "}",
        ],
    ),
]


@pytest.mark.parametrize(("settings", "ruleset"), RULESETS, ids=[one for one, _ in RULESETS])
def test_roles_have_these_chains(settings: str, ruleset: list[str], tmp_path: Path) -> None:
    if unshare() is None or shutil.which("nft") is None:
        pytest.skip("no network namespace here, or nft is not installed")
    output = run_in_namespace(
        f"chains = roles.chains('wg0', Settings({settings}), 51820)\n"
        "asyncio.run(Table('wg0').apply(chains))\n"
        "print(subprocess.run(['nft', 'list', 'ruleset'], capture_output=True, text=True).stdout)\n",
        tmp_path,
    )
    assert output == ["table inet pyfw_wg0 {", *ruleset, "}"]


class TestForwarding:
    pytestmark = in_namespace

    def test_forwarding_is_enabled_and_restored(self, tmp_path: Path) -> None:
        output = run_in_namespace(
            "def values(): return [(net / s).read_text().strip() for s in "
            "('ipv4/ip_forward', 'ipv6/conf/all/forwarding', 'ipv4/conf/all/accept_redirects')]\n"
            "(net / 'ipv4/conf/all/accept_redirects').write_text('0')\n"
            "steps = StepReporter('wg0', to_terminal=True)\n"
            "print(values())\n"
            "forwarding.enable('wg0', {4}, steps)\n"
            "print(values()[:2])\n"
            "forwarding.enable('wg0', {4, 6}, steps)\n"
            "print(values()[:2])\n"
            "forwarding.disable('wg0', steps)\n"
            "print(values())\n"
            "forwarding.disable('wg0', steps)\n"
            "print([p.name for p in undo_log.DIRECTORY.iterdir()])\n",
            tmp_path,
        )
        assert output == [
            "['0', '0', '0']",
            "['1', '0']",
            "['1', '1']",
            "['0', '0', '0']",
            "[]",
        ]

    def test_forwarding_that_was_enabled_before_stays(self, tmp_path: Path) -> None:
        output = run_in_namespace(
            "(net / 'ipv4/ip_forward').write_text('1')\n"
            "steps = StepReporter('wg0', to_terminal=True)\n"
            "forwarding.enable('wg0', {4}, steps)\n"
            "forwarding.disable('wg0', steps)\n"
            "print((net / 'ipv4/ip_forward').read_text())\n",
            tmp_path,
        )
        assert output == ["1"]

    def test_forwarding_of_a_single_interface_is_restored(self, tmp_path: Path) -> None:
        output = run_in_namespace(
            "subprocess.run('ip link add v0 type veth peer name v1', shell=True, check=True)\n"
            "setting = net / 'ipv4/conf/v0/forwarding'\n"
            "setting.write_text('1')\n"
            "steps = StepReporter('wg0', to_terminal=True)\n"
            "forwarding.enable('wg0', {4}, steps)\n"
            "forwarding.disable('wg0', steps)\n"
            "print(setting.read_text(), (net / 'ipv4/conf/v1/forwarding').read_text())\n",
            tmp_path,
        )
        assert output == ["1", "0"]

    def test_router_advertisements_are_still_accepted(self, tmp_path: Path) -> None:
        output = run_in_namespace(
            "subprocess.run('ip link add v0 type veth peer name v1', shell=True, check=True)\n"
            "accept = net / 'ipv6/conf/v0/accept_ra'\n"
            "print(accept.read_text())\n"
            "steps = StepReporter('wg0', to_terminal=True)\n"
            "forwarding.enable('wg0', {6}, steps)\n"
            "print(accept.read_text())\n"
            "forwarding.disable('wg0', steps)\n"
            "print(accept.read_text())\n",
            tmp_path,
        )
        assert output == ["1", "2", "1"]

    def test_forwarding_stays_while_another_gateway_is_up(self, tmp_path: Path) -> None:
        output = run_in_namespace(
            "steps = StepReporter('wg0', to_terminal=True)\n"
            "forwarding.enable('wg0', {4}, steps)\n"
            "forwarding.enable('wg1', {4}, steps)\n"
            "for name in ('wg0', 'wg1'):\n"
            "    forwarding.disable(name, steps)\n"
            "    print((net / 'ipv4/ip_forward').read_text())\n",
            tmp_path,
        )
        assert output == ["1", "0"]
