"""wg-quick with pyfw-wg for its daemon, and pyfw up beside it: the same surroundings, and nothing left."""

import shutil
from collections.abc import Iterator

import pytest

from lab import TUNNEL, Daemon, Network, Stream, pyfw_wg
from pyfw.cli.show_columns import FIELDS
from pyfw.demo.pair import Keys, ping_ms
from tests.interop.quick_machine import CONF, QuickMachine, conf, ends

pytestmark = [
    pytest.mark.skipif(shutil.which("wg-quick") is None, reason="wg-quick is not installed"),
    pytest.mark.skipif(shutil.which("nft") is None, reason="nft is not installed"),
]

_EVERYTHING = "AllowedIPs = 0.0.0.0/0, ::/0\nEndpoint = 192.0.2.2:51820"
# What is compared: a file each, as people write them.
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
    "two default halves": conf("Address = 10.9.0.1/32", "AllowedIPs = 0.0.0.0/1, 128.0.0.0/1"),
    "default route by the file's mark": conf("Address = 10.9.0.1/24\nFwMark = 0x1234", _EVERYTHING),
    "a mark alone": conf("Address = 10.9.0.1/24\nFwMark = 77", "AllowedIPs = 10.20.0.0/16"),
    "mark off": conf("Address = 10.9.0.1/24\nFwMark = off", "AllowedIPs = 10.20.0.0/16"),
    "no routes": conf("Address = 10.9.0.1/24\nTable = off", _EVERYTHING),
    "a table by number": conf("Address = 10.9.0.1/24\nTable = 1234", _EVERYTHING),
    "a table by name": conf("Address = 10.9.0.1/24\nTable = default", "AllowedIPs = 10.20.0.0/16"),
    "the main table": conf("Address = 10.9.0.1/24\nTable = main", "AllowedIPs = 10.9.0.0/16"),
    "auto": conf("Address = 10.9.0.1/24\nTable = auto", _EVERYTHING),
    "an MTU": conf("Address = 10.9.0.1/24\nMTU = 1300", "AllowedIPs = 10.20.0.0/16"),
    "the MTU of the way": conf("", "AllowedIPs = 10.9.0.0/24\nEndpoint = 203.0.113.1:7"),
    "the largest MTU of two ways": conf(
        "",
        "AllowedIPs = 10.9.0.0/24\nEndpoint = 203.0.113.1:7\n[Peer]\n"
        "PublicKey = QEFCQ0RFRkdISUpLTE1OT1BRUlNUVVZXWFlaW1xdXl8=\n"
        "AllowedIPs = 10.8.0.0/24\nEndpoint = [2001:db8:1::2]:7",
    ),
    "the MTU of the default route": conf("", "AllowedIPs = 10.9.0.0/24"),
    "a name for an endpoint": conf("", "AllowedIPs = 10.9.0.0/24\nEndpoint = localhost:7"),
    "comments and blanks": conf(
        "  Address=10.9.0.1/24#here\n\n# Address = 10.7.0.1/24\n\tmtu =  1400 # there",
        "AllowedIPs=10.9.0.0/24 , 10.20.0.0/16",
    ),
    "no peer": "[Interface]\nPrivateKey = AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n",
}


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    with Network() as network:
        client = network.client
        client.ip("route", "add", "default", "via", "192.0.2.2", "mtu", "1480")
        client.ip("route", "add", "203.0.113.0/24", "via", "192.0.2.2", "mtu", "1350")
        # A rule of somebody's own: ours come before it, as wg-quick's do.
        client.ip("rule", "add", "to", "203.0.113.9", "lookup", "main", "priority", "20000")
        yield network


@pytest.fixture(scope="module")
def machine(network: Network) -> QuickMachine:
    return QuickMachine(network.client)


@pytest.fixture(autouse=True)
def ended(machine: QuickMachine) -> Iterator[None]:
    yield
    machine.end()


@pytest.mark.parametrize("name", list(FILES))
def test_pyfw_up_makes_the_surroundings_that_wg_quick_makes(
    machine: QuickMachine, name: str
) -> None:
    machine.at.write(CONF, FILES[name])
    before = machine.state()
    machine.wg_quick("up", CONF)
    theirs = machine.surroundings()
    machine.wg_quick("down", CONF)
    machine.end()
    assert machine.state() == before
    machine.pyfw("up", CONF)
    ours = machine.surroundings()
    machine.pyfw("down", CONF)
    if name == "a name for an endpoint":
        # The loopback's MTU, 65536, says nothing of the way behind it.
        assert (theirs.pop("mtu"), ours.pop("mtu")) == (65_456, 1420)
    assert ours == theirs
    assert machine.state() == before


# As much of a resolvconf as wg-quick uses; what it was told is in /run/resolvconf.log.
_RESOLVCONF = r"""#!/bin/sh
echo "resolvconf $*" >> /run/resolvconf.log
case "$1" in
    -a) cat > "/run/resolvconf.$2"; cat "/run/resolvconf.$2" > /etc/resolv.conf ;;
    -d) rm -f "/run/resolvconf.$2"; cat /run/resolv.conf.before > /etc/resolv.conf ;;
    -l) cat "/run/resolvconf.$2" ;;
esac
"""


def test_name_servers_are_set_and_taken_back_by_resolvconf_alike(machine: QuickMachine) -> None:
    servers = "DNS = 10.9.0.53, fd09::53, corp.example"
    machine.at.write(CONF, conf(f"Address = 10.9.0.1/24\n{servers}", "AllowedIPs = 10.9.0.0/24"))
    machine.shell("cat /etc/resolv.conf > /run/resolv.conf.before")
    machine.command("resolvconf", _RESOLVCONF)
    before = machine.state()
    told = {}
    for quick in (machine.wg_quick, machine.pyfw):
        machine.shell("rm -f /run/resolvconf.log")
        quick("up", CONF)
        up = machine.read("/etc/resolv.conf")
        quick("down", CONF)
        machine.wait_for("! ip link show dev wg0 2>/dev/null")
        machine.wait_for("! test -e /run/wireguard/wg0.sock")
        assert machine.state() == before
        told[quick.__name__] = (up, machine.read("/run/resolvconf.log").splitlines()[:2])
    assert told["pyfw"] == told["wg_quick"]
    assert told["pyfw"][1] == ["resolvconf -a wg0 -m 0 -x", "resolvconf -d wg0 -f"]


def test_pyfw_and_wg_save_and_strip_a_file_alike(machine: QuickMachine) -> None:
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
    # The kernel's own link-local address would come back as a second one at each save.
    theirs = [line for line in machine.read(CONF).splitlines() if "fe80::" not in line]
    assert ours.splitlines() == theirs
    assert machine.at.run("stat", "-c", "%a", CONF).stdout == "600\n"
    machine.at.write(CONF, ours)
    machine.pyfw("down", CONF)
    assert machine.read(CONF) == ours
    machine.pyfw("up", CONF)


def test_pyfw_show_and_wg_show_tell_the_same(machine: QuickMachine) -> None:
    peers = (
        "PresharedKey = QEFCQ0RFRkdISUpLTE1OT1BRUlNUVVZXWFlaW1xdXl8=\nAllowedIPs = 10.9.0.0/24, "
        "fd09::/64\n[Peer]\nPublicKey = YGFiY2RlZmdoaWprbG1ub3BxcnN0dXZ3eHl6e3x9fn8=\n"
        # Nothing is routed to it, so no counter moves while we look.
        "Endpoint = [2001:db8:1::2]:7"
    )
    machine.at.write(CONF, conf("Address = 10.9.0.1/24\nFwMark = 0xca6c", peers))
    machine.pyfw("up", CONF)
    for arguments in ((), ("all",), ("wg0",), ("interfaces",)):
        theirs = machine.at.run("wg", "show", *arguments).stdout
        assert machine.pyfw("show", *arguments).stdout == theirs, arguments
    for field in FIELDS:
        for interface in ("wg0", "all"):
            theirs = machine.at.run("wg", "show", interface, field).stdout
            if (interface, field) == ("all", "endpoints"):
                # wg names the interface once, before the first peer; at all other fields, in each line.
                theirs = theirs.replace("\n", "\nwg0\t").removesuffix("wg0\t")
            assert machine.pyfw("show", interface, field).stdout == theirs, field


@pytest.mark.parametrize(
    ("tool", "rounds", "allowed"),
    [("wg-quick", 300, None), ("pyfw", 20, None), ("pyfw", 20, "0.0.0.0/0, ::/0")],
)
def test_traffic_flows_and_syncconf_in_a_loop_loses_and_reorders_nothing(
    network: Network, machine: QuickMachine, tool: str, rounds: int, allowed: str | None
) -> None:
    files = ends((Keys.generate(), Keys.generate()), allowed)
    quick = machine.wg_quick if tool == "wg-quick" else machine.pyfw
    before = machine.state()
    peer = Daemon(network.gateway, pyfw_wg(), files[1]).wait_until_up()
    try:
        machine.at.write(CONF, files[0])
        quick("up", CONF)
        ping_ms(network.client, TUNNEL["gateway"].v4)
        assert "latest handshake" in machine.at.run("wg", "show", "wg0").stdout
        addresses = (TUNNEL["client"].v4, TUNNEL["gateway"].v4)
        synced = f"wg syncconf wg0 <({tool} strip {CONF}) || exit 1"
        with Stream(network.client, network.gateway, *addresses) as stream:
            machine.shell(f"for i in $(seq {rounds}); do {synced}; done")
        for way in (stream.up, stream.down):
            wrong = (way.lost, way.refused, way.duplicated, way.out_of_order)
            assert wrong == (0, 0, 0, 0), str(stream)
            assert way.sent > 1000
        quick("down", CONF)
        machine.end()
        assert machine.state() == before
    finally:
        peer.stop()


def test_pyfw_down_takes_down_what_wg_quick_has_set_up(machine: QuickMachine) -> None:
    machine.at.write(CONF, FILES["default routes"])
    before = machine.state()
    machine.wg_quick("up", CONF)
    machine.pyfw("down", CONF)
    assert machine.state() == before


def test_wg_quick_down_takes_down_what_pyfw_has_set_up(machine: QuickMachine) -> None:
    machine.at.write(CONF, FILES["default routes"])
    before = machine.state()
    machine.pyfw("up", CONF)
    machine.wg_quick("down", CONF)
    # The daemon ends when its link is gone, and takes the rest with it.
    machine.wait_for("! test -e /run/pyfw/wg0.json")
    assert machine.state() == before
