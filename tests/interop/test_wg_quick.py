"""pyfw up compared with wg-quick, which runs pyfw-wg: the same set-up, and nothing left at the end."""

import shutil
from collections.abc import Iterator

import pytest

from lab import TUNNEL, Daemon, Network, Stream, pyfw_wg
from pyfw.cli.show_fields import FIELDS
from pyfw.demo.pair import Keys, ping_ms
from tests.interop.host_commands import CONF, HostCommands, conf, pair_confs

pytestmark = [
    pytest.mark.skipif(shutil.which("wg-quick") is None, reason="wg-quick is not installed"),
    pytest.mark.skipif(shutil.which("nft") is None, reason="nft is not installed"),
]

_EVERYTHING = "AllowedIPs = 0.0.0.0/0, ::/0\nEndpoint = 192.0.2.2:51820"
# Files as people write them, with which both must do the same.
FILES = {
    "addresses and routes": conf(
        "Address = 10.9.0.1/24, fd09::1/64",
        "AllowedIPs = 10.9.0.0/24, 10.20.0.0/16, 10.20.30.0/24, fd20::/48\nEndpoint = 192.0.2.2:7",
    ),
    "single addresses": conf(
        "Address = 10.9.0.1\naddress = 10.8.0.1/32\nADDRESS = fd09::1",
        "AllowedIPs = 10.9.0.1/32\nAllowedIPs = 10.9.0.2/32, 10.8.0.0/24,fd09::2/128",
    ),
    "default routes": conf("Address = 10.9.0.1/24, fd09::1/64", _EVERYTHING),
    "IPv4 default route": conf("Address = 10.9.0.1/24, fd09::1/64", "AllowedIPs = 0.0.0.0/0"),
    "two default halves, mark off": conf(
        "Address = 10.9.0.1/32\nFwMark = off", "AllowedIPs = 0.0.0.0/1, 128.0.0.0/1"
    ),
    "a default route with a mark": conf("Address = 10.9.0.1/24\nFwMark = 0x1234", _EVERYTHING),
    "a mark and an MTU": conf(
        "Address = 10.9.0.1/24\nFwMark = 77\nMTU = 1300", "AllowedIPs = 10.20.0.0/16"
    ),
    "no routes": conf("Address = 10.9.0.1/24\nTable = off", _EVERYTHING),
    "a table by number": conf("Address = 10.9.0.1/24\nTable = 1234", _EVERYTHING),
    "a table by name": conf("Address = 10.9.0.1/24\nTable = default", "AllowedIPs = 10.20.0.0/16"),
    "the main table": conf("Address = 10.9.0.1/24\nTable = main", "AllowedIPs = 10.9.0.0/16"),
    "the MTU of a route": conf("", "AllowedIPs = 10.9.0.0/24\nEndpoint = 203.0.113.1:7"),
    "the largest MTU of two routes": conf(
        "",
        "AllowedIPs = 10.9.0.0/24\nEndpoint = 203.0.113.1:7\n[Peer]\n"
        "PublicKey = QEFCQ0RFRkdISUpLTE1OT1BRUlNUVVZXWFlaW1xdXl8=\n"
        "AllowedIPs = 10.8.0.0/24\nEndpoint = [2001:db8:1::2]:7",
    ),
    "the MTU of the default route": conf("", "AllowedIPs = 10.9.0.0/24"),
    "a name as an endpoint": conf("", "AllowedIPs = 10.9.0.0/24\nEndpoint = localhost:7"),
    "comments, blanks, table auto": conf(
        "  Address=10.9.0.1/24#a\n\n# Address = 10.7.0.1/24\n\tmtu =  1400 # b\nTABLE=auto",
        "AllowedIPs=10.9.0.0/24 , 0.0.0.0/0",
    ),
    "no peer": "[Interface]\nPrivateKey = AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n",
}


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    with Network() as network:
        client = network.client
        client.ip("route", "add", "default", "via", "192.0.2.2", "mtu", "1480")
        client.ip("route", "add", "203.0.113.0/24", "via", "192.0.2.2", "mtu", "1350")
        # An existing rule, which those of wg-quick and pyfw precede.
        client.ip("rule", "add", "to", "203.0.113.9", "lookup", "main", "priority", "20000")
        yield network


@pytest.fixture(scope="module")
def machine(network: Network) -> HostCommands:
    return HostCommands(network.client)


@pytest.fixture(autouse=True)
def ended(machine: HostCommands) -> Iterator[None]:
    yield
    machine.end()


@pytest.mark.parametrize("name", list(FILES))
def test_pyfw_up_does_what_wg_quick_up_does(machine: HostCommands, name: str) -> None:
    machine.at.write(CONF, FILES[name])
    before = machine.state()
    machine.wg_quick("up", CONF)
    theirs = machine.interface_state()
    machine.wg_quick("down", CONF)
    machine.end()
    assert machine.state() == before
    machine.pyfw("up", CONF)
    ours = machine.interface_state()
    machine.pyfw("down", CONF)
    if name == "a name as an endpoint":
        # Unlike wg-quick, pyfw does not take the loopback's 65536 for a path MTU.
        assert (theirs.pop("mtu"), ours.pop("mtu")) == (65_456, 1420)
    assert ours == theirs
    assert machine.state() == before


# The options of resolvconf that wg-quick uses. Logs its arguments to /run/resolvconf.log.
_RESOLVCONF = r"""#!/bin/sh
echo "resolvconf $*" >> /run/resolvconf.log
case "$1" in
    -a) cat > "/run/resolvconf.$2"; cat "/run/resolvconf.$2" > /etc/resolv.conf ;;
    -d) rm -f "/run/resolvconf.$2"; cat /run/resolv.conf.before > /etc/resolv.conf ;;
    -l) cat "/run/resolvconf.$2" ;;
esac
"""


def test_resolvconf_is_called_as_by_wg_quick(machine: HostCommands) -> None:
    servers = "DNS = 10.9.0.53, fd09::53, corp.example"
    machine.at.write(CONF, conf(f"Address = 10.9.0.1/24\n{servers}", "AllowedIPs = 10.9.0.0/24"))
    machine.shell("cat /etc/resolv.conf > /run/resolv.conf.before")
    machine.install("resolvconf", _RESOLVCONF)
    before = machine.state()
    calls = {}
    for quick in (machine.wg_quick, machine.pyfw):
        machine.shell("rm -f /run/resolvconf.log")
        quick("up", CONF)
        up = machine.read("/etc/resolv.conf")
        quick("down", CONF)
        machine.wait_for("! ip link show dev wg0 2>/dev/null")
        machine.wait_for("! test -e /run/wireguard/wg0.sock")
        assert machine.state() == before
        calls[quick.__name__] = (up, machine.read("/run/resolvconf.log").splitlines()[:2])
    assert calls["pyfw"] == calls["wg_quick"]
    assert calls["pyfw"][1] == ["resolvconf -a wg0 -m 0 -x", "resolvconf -d wg0 -f"]


def test_save_and_strip_equal_those_of_wg_quick(machine: HostCommands) -> None:
    machine.at.write(
        CONF,
        conf(
            "Address = 10.9.0.1/24, fd09::1/64\nMTU = 1400\nTable = off # none\nPostUp = true\n"
            "preup = echo %i > /dev/null\nPostDown = true; true\nPreDown = true\nFwMark = 0x99\n"
            "SaveConfig = true",
            "AllowedIPs = 10.9.0.0/24, fd09::/64\nPersistentKeepalive = 25\n"
            "PresharedKey = QEFCQ0RFRkdISUpLTE1OT1BRUlNUVVZXWFlaW1xdXl8=\nEndpoint = 192.0.2.2:7\n"
            "[Peer]\nPublicKey = YGFiY2RlZmdoaWprbG1ub3BxcnN0dXZ3eHl6e3x9fn8=",
        ),
    )
    assert machine.pyfw("strip", CONF).stdout == machine.wg_quick("strip", CONF).stdout
    machine.pyfw("up", CONF)
    machine.pyfw("save", CONF)
    ours = machine.read(CONF)
    machine.wg_quick("save", CONF)
    # wg-quick saves the kernel's link-local address, too, which becomes a second one at the next start.
    theirs = [line for line in machine.read(CONF).splitlines() if "fe80::" not in line]
    assert ours.splitlines() == theirs
    assert machine.at.run("stat", "-c", "%a", CONF).stdout == "600\n"
    machine.at.write(CONF, ours)
    machine.pyfw("down", CONF)
    assert machine.read(CONF) == ours
    machine.pyfw("up", CONF)


def test_pyfw_show_equals_wg_show(machine: HostCommands) -> None:
    peers = (
        "PresharedKey = QEFCQ0RFRkdISUpLTE1OT1BRUlNUVVZXWFlaW1xdXl8=\nAllowedIPs = 10.9.0.0/24, "
        "fd09::/64\n[Peer]\nPublicKey = YGFiY2RlZmdoaWprbG1ub3BxcnN0dXZ3eHl6e3x9fn8=\n"
        # Without routes to the peer, no counter changes during the test.
        "Endpoint = [2001:db8:1::2]:7"
    )
    machine.at.write(CONF, conf("Address = 10.9.0.1/24\nFwMark = 0xca6c", peers))
    machine.pyfw("up", CONF)
    for arguments in ((), ("all",), ("wg0",), ("interfaces",)):
        theirs = machine.at.run("wg", "show", *arguments).stdout
        assert machine.pyfw("show", *arguments).stdout == theirs, arguments
    for interface, field in (*(("all", field) for field in FIELDS), ("wg0", "dump")):
        theirs = machine.at.run("wg", "show", interface, field).stdout
        if field == "endpoints":
            # For this field only, wg prints the interface once instead of in each line.
            theirs = theirs.replace("\n", "\nwg0\t").removesuffix("wg0\t")
        assert machine.pyfw("show", interface, field).stdout == theirs, field


@pytest.mark.parametrize(
    ("tool", "rounds", "allowed_ips"),
    [("wg-quick", 100, None), ("pyfw", 10, None), ("pyfw", 10, "0.0.0.0/0, ::/0")],
)
def test_syncconf_under_traffic_loses_and_reorders_nothing(
    network: Network, machine: HostCommands, tool: str, rounds: int, allowed_ips: str | None
) -> None:
    confs = pair_confs((Keys.generate(), Keys.generate()), allowed_ips)
    quick = machine.wg_quick if tool == "wg-quick" else machine.pyfw
    before = machine.state()
    peer = Daemon(network.gateway, pyfw_wg(), confs[1]).wait_until_up()
    try:
        machine.at.write(CONF, confs[0])
        quick("up", CONF)
        ping_ms(network.client, TUNNEL["gateway"].v4)
        assert "latest handshake" in machine.at.run("wg", "show", "wg0").stdout
        addresses = (TUNNEL["client"].v4, TUNNEL["gateway"].v4)
        sync = f"wg syncconf wg0 <({tool} strip {CONF}) || exit 1"
        with Stream(network.client, network.gateway, *addresses) as stream:
            machine.shell(f"for i in $(seq {rounds}); do {sync}; done")
        for way in (stream.up, stream.down):
            errors = (way.lost, way.refused, way.duplicated, way.out_of_order)
            assert errors == (0, 0, 0, 0), str(stream)
            assert way.sent > 500
        quick("down", CONF)
        machine.end()
        assert machine.state() == before
    finally:
        peer.stop()


def test_pyfw_down_takes_down_what_wg_quick_set_up(machine: HostCommands) -> None:
    machine.at.write(CONF, FILES["default routes"])
    before = machine.state()
    machine.wg_quick("up", CONF)
    machine.pyfw("down", CONF)
    assert machine.state() == before


def test_wg_quick_down_takes_down_what_pyfw_set_up(machine: HostCommands) -> None:
    machine.at.write(CONF, FILES["default routes"])
    before = machine.state()
    machine.pyfw("up", CONF)
    machine.wg_quick("down", CONF)
    # The daemon ends with its link, and undoes the rest.
    machine.wait_for("! test -e /run/pyfw/wg0.json")
    assert machine.state() == before
