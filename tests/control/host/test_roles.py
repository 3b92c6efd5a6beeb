"""The chains of a roles, as nft shows them; and forwarding, shared by the gateways of a namespace."""

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


def inside(body: str, directory: Path) -> list[str]:
    """Runs Python in a namespace of its own, with records below `directory`; returns what it printed."""
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
def test_without_need_there_is_no_chain(settings: Settings) -> None:
    assert roles.chains("wg0", settings, 1) == []


SHOWN = [
    (
        'role="gateway"',
        [
            "chain masquerade {",
            "type nat hook postrouting priority srcnat; policy accept;",
            'iifname "wg0" oifname != "wg0" masquerade',
            "}",
            "chain refused {",
            "type filter hook prerouting priority filter; policy accept;",
            'iifname "wg0" fib daddr oifname "wg0" reject with icmpx admin-prohibited',
            "}",
            "chain between {",
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
            "chain leaving {",
            "type filter hook output priority filter; policy accept;",
            'oifname { "lo", "wg0" } accept',
            "meta l4proto udp meta mark 0x0000ca6c accept",
            "udp sport 68 udp dport 67 accept",
            "udp sport 546 udp dport 547 accept",
            "icmpv6 type { nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert, "
            "mld2-listener-report } accept",
            "reject with icmpx admin-prohibited",
            "}",
            "chain passing {",
            "type filter hook forward priority filter; policy accept;",
            'oifname { "lo", "wg0" } accept',
            'iifname "wg0" accept',
            "reject with icmpx admin-prohibited",
            "}",
        ],
    ),
]


@pytest.mark.parametrize(("settings", "shown"), SHOWN, ids=[one for one, _ in SHOWN])
def test_a_role_is_these_chains_of_the_tunnels_table(
    settings: str, shown: list[str], tmp_path: Path
) -> None:
    if unshare() is None or shutil.which("nft") is None:
        pytest.skip("no network namespace here, or nft is not installed")
    told = inside(
        f"chains = roles.chains('wg0', Settings({settings}), 51820)\n"
        "asyncio.run(Table('wg0').apply(chains))\n"
        "print(subprocess.run(['nft', 'list', 'ruleset'], capture_output=True, text=True).stdout)\n",
        tmp_path,
    )
    assert told == ["table inet pyfw_wg0 {", *shown, "}"]


class TestForwarding:
    pytestmark = in_namespace

    def test_it_is_on_for_what_the_gateway_has_and_comes_back_as_it_was(
        self, tmp_path: Path
    ) -> None:
        told = inside(
            "def seen(): return [(net / s).read_text().strip() for s in "
            "('ipv4/ip_forward', 'ipv6/conf/all/forwarding', 'ipv4/conf/all/accept_redirects')]\n"
            "(net / 'ipv4/conf/all/accept_redirects').write_text('0')\n"
            "echo = StepReporter('wg0', to_terminal=True)\n"
            "print(seen())\n"
            "forwarding.switch_on('wg0', {4}, echo)\n"
            "print(seen()[:2])\n"
            "forwarding.switch_on('wg0', {4, 6}, echo)\n"
            "print(seen()[:2])\n"
            "forwarding.switch_off('wg0', echo)\n"
            "print(seen())\n"
            "forwarding.switch_off('wg0', echo)\n"
            "print([p.name for p in undo_log.DIRECTORY.iterdir()])\n",
            tmp_path,
        )
        assert told == [
            "['0', '0', '0']",
            "['1', '0']",
            "['1', '1']",
            "['0', '0', '0']",
            "[]",
        ]

    def test_what_was_on_before_stays_on(self, tmp_path: Path) -> None:
        told = inside(
            "(net / 'ipv4/ip_forward').write_text('1')\n"
            "echo = StepReporter('wg0', to_terminal=True)\n"
            "forwarding.switch_on('wg0', {4}, echo)\n"
            "forwarding.switch_off('wg0', echo)\n"
            "print((net / 'ipv4/ip_forward').read_text())\n",
            tmp_path,
        )
        assert told == ["1"]

    def test_an_interface_that_forwarded_alone_does_so_again(self, tmp_path: Path) -> None:
        told = inside(
            "subprocess.run('ip link add v0 type veth peer name v1', shell=True, check=True)\n"
            "switch = net / 'ipv4/conf/v0/forwarding'\n"
            "switch.write_text('1')\n"
            "echo = StepReporter('wg0', to_terminal=True)\n"
            "forwarding.switch_on('wg0', {4}, echo)\n"
            "forwarding.switch_off('wg0', echo)\n"
            "print(switch.read_text(), (net / 'ipv4/conf/v1/forwarding').read_text())\n",
            tmp_path,
        )
        assert told == ["1", "0"]

    def test_a_host_keeps_the_routers_that_advertise_themselves(self, tmp_path: Path) -> None:
        told = inside(
            "subprocess.run('ip link add v0 type veth peer name v1', shell=True, check=True)\n"
            "accept = net / 'ipv6/conf/v0/accept_ra'\n"
            "print(accept.read_text())\n"
            "echo = StepReporter('wg0', to_terminal=True)\n"
            "forwarding.switch_on('wg0', {6}, echo)\n"
            "print(accept.read_text())\n"
            "forwarding.switch_off('wg0', echo)\n"
            "print(accept.read_text())\n",
            tmp_path,
        )
        assert told == ["1", "2", "1"]

    def test_it_stays_on_while_another_gateway_needs_it(self, tmp_path: Path) -> None:
        told = inside(
            "echo = StepReporter('wg0', to_terminal=True)\n"
            "forwarding.switch_on('wg0', {4}, echo)\n"
            "forwarding.switch_on('wg1', {4}, echo)\n"
            "for name in ('wg0', 'wg1'):\n"
            "    forwarding.switch_off(name, echo)\n"
            "    print((net / 'ipv4/ip_forward').read_text())\n",
            tmp_path,
        )
        assert told == ["1", "0"]
