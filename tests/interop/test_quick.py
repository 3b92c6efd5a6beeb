"""pyfw up, down and run: each step in its place, all of it undone, whatever happens."""

import shutil
import signal
from collections.abc import Iterator

import pytest

from lab import OUTER, TUNNEL, Daemon, Network, pyfw_wg
from pyfw.demo.pair import Keys, ping_ms
from tests.interop.quick_machine import CONF, PEER, QuickMachine, conf, ends

pytestmark = pytest.mark.skipif(shutil.which("nft") is None, reason="nft is not installed")

# Everything that has to be undone.
ADDRESSES = "Address = 10.9.0.1/24, fd09::1/64"
EVERYTHING = "AllowedIPs = 0.0.0.0/0, ::/0\nEndpoint = 192.0.2.2:51820"
DNS = "DNS = 10.9.0.53, corp.example"
HOOKS = "\n".join(
    f"{key} = echo {key} %i $(ip -o link show dev %i 2>/dev/null | wc -l) "
    "$(wg show %i fwmark 2>/dev/null) >> /run/hooks"
    for key in ("PreUp", "PostUp", "PreDown", "PostDown")
)
FULL = conf(f"{ADDRESSES}\n{DNS}\n{HOOKS}", EVERYTHING)


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    with Network() as network:
        yield network


@pytest.fixture(scope="module")
def on_client(network: Network) -> QuickMachine:
    return QuickMachine(network.client)


@pytest.fixture
def machine(on_client: QuickMachine) -> Iterator[QuickMachine]:
    """The client, which has to be afterwards as it was before."""
    before = on_client.state()
    yield on_client
    after = on_client.state()
    on_client.end()
    on_client.at.run("sh", "-c", "rm -rf /run/hooks /run/pyfw/*")
    assert after == before


def hooks(machine: QuickMachine) -> list[str]:
    return machine.read("/run/hooks").splitlines()


def test_hooks_run_in_their_order_at_their_time(machine: QuickMachine) -> None:
    machine.at.write(CONF, FULL)
    told = machine.pyfw("up", CONF)
    # What each saw: whether there was a link, and the mark that a default route needs.
    assert hooks(machine) == ["PreUp wg0 0", "PostUp wg0 1 0xca6c"]
    machine.pyfw("down", CONF)
    assert hooks(machine)[2:] == ["PreDown wg0 1 0xca6c", "PostDown wg0 0"]
    assert told.stdout == ""


def test_every_step_is_told_as_it_is_done(machine: QuickMachine) -> None:
    machine.at.write(CONF, FULL.replace("::/0", "::/0, 10.20.0.0/16, fd20::/48, 10.30.40.0/24"))
    up = machine.pyfw("up", CONF).stderr.splitlines()
    down = machine.pyfw("down", CONF).stderr.splitlines()
    assert all(line.startswith("[#] ") for line in up + down)
    marks = (
        "echo PreUp",
        "tuntap add",
        "address add",
        "set mtu",
        "resolv.conf",
        "wg set wg0",
        "nft",
    )
    last = -1
    for mark in (*marks, "route add", "rule add", "echo PostUp"):
        at = next(number for number, line in enumerate(up) if mark in line)
        assert at > last, mark
        last = at
    routes = [line.split()[5] for line in up if "route add" in line]
    lengths = [int(route.rpartition("/")[2]) for route in routes]
    assert lengths == [48, 24, 16, 0, 0]
    assert "echo PreDown" in down[0] and "echo PostDown" in down[-1]


@pytest.mark.parametrize(
    ("interface", "words"),
    [
        ("PreUp = echo to be seen; false; true", "PreUp failed (exit 1): echo to be seen; false"),
        ("PostUp = exit 7", "PostUp failed (exit 7): exit 7"),
        ("PostUp = false | true", "PostUp failed (exit 1): false | true"),
        ("PostUp = kill -9 $$", "PostUp failed (SIGKILL)"),
        ("Table = 77", "route 0.0.0.0/0: File exists"),
    ],
)
def test_a_step_that_fails_undoes_all_that_was_done(
    machine: QuickMachine, interface: str, words: str
) -> None:
    machine.at.ip("route", "add", "default", "dev", "outer", "table", "77")
    machine.at.write(CONF, conf(f"{ADDRESSES}\n{DNS}\n{HOOKS}\n{interface}", EVERYTHING))
    failed = machine.pyfw("up", CONF, check=False)
    machine.at.ip("route", "delete", "default", "table", "77")
    assert failed.returncode == 1
    assert words in failed.stderr and "Traceback" not in failed.stderr
    # As with wg-quick, what did not come up does not go down.
    assert not any("Down" in line for line in hooks(machine))


def test_a_route_of_another_link_is_not_taken(machine: QuickMachine) -> None:
    machine.at.write(CONF, conf(ADDRESSES, "AllowedIPs = 192.0.2.0/24"))
    before = machine.at.ip("route")
    failed = machine.pyfw("up", CONF, check=False)
    assert (failed.returncode, machine.at.ip("route")) == (1, before)
    assert failed.stderr.endswith("pyfw: wg0 is not up: route 192.0.2.0/24: File exists\n")


@pytest.mark.parametrize("ending", ["up", "down"])
def test_what_a_killed_daemon_left_is_cleaned_up_by_the_next(
    machine: QuickMachine, ending: str
) -> None:
    machine.at.write(CONF, FULL)
    clean = machine.state()
    machine.pyfw("up", CONF)
    up = machine.surroundings()
    machine.at.run("kill", "-9", str(machine.pid()))
    machine.wait_for("! ip link show dev wg0 2>/dev/null")
    left = machine.state()
    assert {what for what in clean if left[what] != clean[what]} == {
        "rules",
        "nftables",
        "dns",
        "records",
    }
    if ending == "up":
        told = machine.pyfw("up", CONF)
        assert machine.surroundings() == up
        assert hooks(machine)[2:] == ["PostDown wg0 0", "PreUp wg0 0", "PostUp wg0 1 0xca6c"]
    else:
        told = machine.pyfw("down", CONF)
        assert hooks(machine)[2:] == ["PostDown wg0 0"]
    assert "an earlier run was killed; what it left is undone" in told.stderr
    if ending == "up":
        machine.pyfw("down", CONF)


def test_one_that_was_killed_on_its_way_up_is_cleaned_up_as_well(machine: QuickMachine) -> None:
    slow = "PostUp = echo $$ > /run/hook.pid; exec sleep 60"
    machine.at.write(CONF, conf(f"{ADDRESSES}\n{DNS}\n{HOOKS}\n{slow}", EVERYTHING))
    starting = machine.start("up", CONF)
    starting.wait_for("[#] echo $$")
    machine.at.run("kill", "-9", str(machine.pid()))
    assert starting.stop() == 1
    assert "its daemon ended without a word" in starting.output()
    machine.pyfw("down", CONF)
    assert not any("Down" in line for line in hooks(machine))
    # What was a hook is nobody's child now.
    machine.shell("kill $(cat /run/hook.pid)")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_on_the_way_up_undoes_what_was_done(
    machine: QuickMachine, number: signal.Signals
) -> None:
    machine.at.write(CONF, conf(f"{ADDRESSES}\n{DNS}\nPostUp = exec sleep 60", EVERYTHING))
    starting = machine.start("up", CONF)
    starting.wait_for("[#] exec sleep 60")
    starting.signal(number)
    assert starting.stop(timeout_s=10) == 1
    assert "Traceback" not in starting.output()


def test_a_second_one_is_refused_and_the_first_goes_on(machine: QuickMachine) -> None:
    machine.at.write(CONF, FULL)
    machine.pyfw("up", CONF)
    first = (machine.pid(), machine.surroundings(), machine.state())
    for command in ("up", "run"):
        refused = machine.pyfw(command, CONF, check=False)
        assert refused.returncode == 1
        assert "wg0 runs already" in refused.stderr
    assert (machine.pid(), machine.surroundings(), machine.state()) == first
    assert len(hooks(machine)) == 2
    machine.pyfw("down", CONF)


def test_an_interface_of_another_kind_is_refused(machine: QuickMachine) -> None:
    machine.at.write(CONF, FULL)
    machine.at.ip("link", "add", "wg0", "type", "veth", "peer", "name", "other")
    refused = machine.pyfw("up", CONF, check=False)
    machine.at.ip("link", "delete", "wg0")
    assert refused.returncode == 1
    assert "an interface wg0 exists already" in refused.stderr
    assert hooks(machine) == []


@pytest.mark.parametrize("ending", ["SIGTERM", "pyfw down", "link", "socket"])
def test_in_the_foreground_the_same_is_done_and_undone(machine: QuickMachine, ending: str) -> None:
    machine.at.write(CONF, FULL)
    machine.pyfw("up", CONF)
    background = machine.surroundings()
    machine.pyfw("down", CONF)
    running = machine.start("run", CONF)
    running.wait_for('"message":"started"')
    assert machine.surroundings() == background
    match ending:
        case "SIGTERM":
            running.signal(signal.SIGTERM)
        case "pyfw down":
            machine.pyfw("down", CONF)
        case "link":
            machine.at.ip("link", "delete", "wg0")
        case _:
            machine.at.run("rm", "/run/wireguard/wg0.sock")
    machine.wait_for("! test -e /run/wireguard/wg0.sock")
    assert running.stop(timeout_s=10) == 0
    seen = hooks(machine)[4:]
    # A link that is gone already is not asked what it is before it goes.
    before = [] if ending == "link" else ["PreDown wg0 1 0xca6c"]
    if ending == "socket":
        before = ["PreDown wg0 1"]
    assert seen == ["PreUp wg0 0", "PostUp wg0 1 0xca6c", *before, "PostDown wg0 0"]


def test_a_failing_predown_leaves_it_up(machine: QuickMachine) -> None:
    machine.at.write(CONF, FULL)
    machine.pyfw("up", CONF)
    up = machine.state()
    machine.at.write(CONF, FULL.replace("PreDown = echo", "PreDown = false; echo"))
    failed = machine.pyfw("down", CONF, check=False)
    assert failed.returncode == 1
    assert "PreDown failed (exit 1)" in failed.stderr
    assert machine.state() == up
    machine.at.write(CONF, FULL)
    machine.pyfw("down", CONF)


def test_down_goes_by_the_record_where_the_file_is_broken_or_gone(machine: QuickMachine) -> None:
    machine.at.write(CONF, FULL)
    machine.pyfw("up", CONF)
    machine.at.write(CONF, "[Interface]\nPrivateKey = broken\n")
    told = machine.pyfw("down", CONF)
    assert "PrivateKey" in told.stderr and "going by what is on record" in told.stderr
    assert hooks(machine)[2:] == ["PreDown wg0 1 0xca6c", "PostDown wg0 0"]
    failed = machine.pyfw("down", CONF, check=False)
    assert failed.returncode == 1
    assert "wg0 is not up" in failed.stderr


def test_a_name_may_stand_for_the_file(machine: QuickMachine) -> None:
    machine.shell("mkdir -p /run/etc; [ -d /etc/wireguard ] || true")
    failed = machine.pyfw("up", "no-such-tunnel", check=False)
    assert failed.returncode == 1
    assert "/etc/wireguard/no-such-tunnel.conf" in failed.stderr


def test_preup_may_bring_up_what_endpoints_are_looked_up_by(machine: QuickMachine) -> None:
    machine.shell("touch /run/hosts; mount --bind /run/hosts /etc/hosts")
    hook = "PreUp = echo 192.0.2.2 gateway.example > /run/hosts"
    peer = "AllowedIPs = 10.20.0.0/16\nEndpoint = gateway.example:7"
    machine.at.write(CONF, conf(f"{ADDRESSES}\n{hook}", peer))
    try:
        machine.pyfw("up", CONF)
        assert "192.0.2.2:7" in machine.pyfw("show", "wg0", "endpoints").stdout
        machine.pyfw("down", CONF)
    finally:
        machine.shell("umount /etc/hosts")


def test_postup_may_set_the_private_key(machine: QuickMachine) -> None:
    private = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
    machine.at.write("/run/private", private)
    hook = "PostUp = wg set %i private-key /run/private"
    file = conf(f"{ADDRESSES}\n{hook}", "AllowedIPs = 10.20.0.0/16")
    machine.at.write(CONF, file.replace(f"PrivateKey = {private}\n", ""))
    machine.pyfw("up", CONF)
    public = machine.shell("wg pubkey < /run/private").stdout
    assert machine.pyfw("show", "wg0", "public-key").stdout == public
    machine.pyfw("down", CONF)


@pytest.mark.parametrize("ending", ["SIGTERM", "pyfw down"])
def test_saveconfig_writes_what_is_in_force_at_the_end(machine: QuickMachine, ending: str) -> None:
    file = conf(f"{ADDRESSES}\nSaveConfig = true\n{HOOKS}", "AllowedIPs = 10.20.0.0/16")
    machine.at.write(CONF, file)
    running = machine.start("run", CONF)
    running.wait_for('"message":"started"')
    machine.at.run(
        "wg", "set", "wg0", "listen-port", "4711", "peer", PEER, "persistent-keepalive", "9"
    )
    machine.at.ip("address", "add", "10.9.0.9/32", "dev", "wg0")
    if ending == "SIGTERM":
        running.signal(signal.SIGTERM)
    else:
        machine.pyfw("down", CONF)
    machine.wait_for("! test -e /run/wireguard/wg0.sock")
    assert running.stop() == 0
    lines = machine.read(CONF).splitlines()
    for line in (
        "ListenPort = 4711",
        "PersistentKeepalive = 9",
        "Address = 10.9.0.9/32",
        "SaveConfig = true",
    ):
        assert line in lines
    assert [line for line in lines if line.startswith("Pre")] == [
        line for line in file.splitlines() if line.startswith("Pre")
    ]


def test_where_ipv6_is_off_ipv4_works_and_one_warning_says_so(machine: QuickMachine) -> None:
    machine.at.write(CONF, FULL)
    switch = "/proc/sys/net/ipv6/conf/default/disable_ipv6"
    machine.shell(f"echo 1 > {switch}")
    try:
        told = machine.pyfw("up", CONF)
    finally:
        machine.shell(f"echo 0 > {switch}")
    warnings = [line for line in told.stderr.splitlines() if line.startswith("[!]")]
    assert warnings == ["[!] IPv6 is switched off here: its addresses and routes are left out"]
    assert "default dev wg0" in machine.at.ip("route", "show", "table", "51820")
    assert "51820" not in machine.at.ip("-6", "rule")
    machine.pyfw("down", CONF)


def test_a_reload_brings_the_surroundings_to_the_new_file(machine: QuickMachine) -> None:
    machine.at.write(CONF, conf(f"Address = 10.9.0.1/24\n{DNS}", "AllowedIPs = 0.0.0.0/0"))
    machine.pyfw("up", CONF)
    full = conf("Address = 10.9.0.9/24, fd09::1/64\nDNS = 10.9.0.99", EVERYTHING)
    plain = conf("Address = 10.9.0.1/24", "AllowedIPs = 10.20.0.0/16")
    for file, rules, server in ((full, 8 + 3, "10.9.0.99"), (plain, 4 + 3, "192.0.2.53")):
        machine.at.write(CONF, file)
        machine.at.run("kill", "-HUP", str(machine.pid()))
        machine.wait_for(f"grep -q {server} /etc/resolv.conf")
        machine.wait_for(f"test $( (ip -4 rule; ip -6 rule) | wc -l) = {rules - 2}")
        reloaded = machine.surroundings()
        table = machine.at.run("nft", "list", "ruleset").stdout
        machine.pyfw("down", CONF)
        machine.pyfw("up", CONF)
        again = machine.surroundings()
        assert set(again["routes"]) ^ set(reloaded["routes"]) == set()
        assert again == reloaded
        assert machine.at.run("nft", "list", "ruleset").stdout == table
    machine.pyfw("down", CONF)


def test_two_default_routes_end_in_any_order(machine: QuickMachine) -> None:
    second = "/run/wg1.conf"
    machine.at.write(CONF, conf(f"{ADDRESSES}\n{DNS}", EVERYTHING))
    other = conf("Address = 10.8.0.1/24\nDNS = 10.8.0.53", "AllowedIPs = 0.0.0.0/0")
    machine.at.write(second, other)
    machine.pyfw("up", CONF)
    first = machine.state()
    machine.pyfw("up", second)
    # As with wg-quick, the later one comes first.
    lookups = [line.split()[-1] for line in machine.at.ip("-4", "rule").splitlines()]
    assert [lookup for lookup in lookups if lookup.startswith("5182")] == ["51821", "51820"]
    assert "10.8.0.53" in machine.read("/etc/resolv.conf")
    machine.pyfw("down", second)
    assert machine.state() == first
    machine.pyfw("up", second)
    machine.pyfw("down", CONF)
    assert "10.8.0.53" in machine.read("/etc/resolv.conf")
    assert "51821" in machine.at.ip("-4", "rule") and "51820" not in machine.at.ip("-4", "rule")
    machine.pyfw("down", second)


def test_a_default_route_carries_all_but_our_own_datagrams(
    network: Network, machine: QuickMachine
) -> None:
    files = ends((Keys.generate(), Keys.generate()), "0.0.0.0/0, ::/0")
    machine.at.sysctl("net.ipv4.conf.all.rp_filter", "1")
    machine.at.sysctl("net.ipv4.conf.outer.rp_filter", "1")
    peer = Daemon(network.gateway, pyfw_wg(), files[1]).wait_until_up()
    machine.at.write(CONF, files[0])
    try:
        machine.pyfw("up", CONF)
        # Nothing but the tunnel leads there.
        ping_ms(machine.at, "198.51.100.1")
        ping_ms(machine.at, "2001:db8:2::1")
        ping_ms(machine.at, TUNNEL["gateway"].v4)
        sent = machine.pyfw("show", "wg0", "transfer").stdout.split()
        # What the main table knows better stays outside.
        ping_ms(machine.at, OUTER["gateway"].v4)
        assert machine.pyfw("show", "wg0", "transfer").stdout.split() == sent
        machine.pyfw("down", CONF)
    finally:
        machine.at.sysctl("net.ipv4.conf.all.rp_filter", "0")
        machine.at.sysctl("net.ipv4.conf.outer.rp_filter", "0")
        peer.stop()


@pytest.mark.parametrize("guarded", [True, False])
def test_packets_for_the_tunnels_address_from_outside_are_not_answered(
    network: Network, machine: QuickMachine, guarded: bool
) -> None:
    table = "" if guarded else "\nTable = off"
    machine.at.write(CONF, conf(f"{ADDRESSES}{table}", EVERYTHING))
    machine.pyfw("up", CONF)
    outside = network.gateway
    outside.ip("route", "add", "10.9.0.1/32", "via", OUTER["client"].v4)
    try:
        ping = outside.run("ping", "-c", "2", "-i", "0.2", "-W", "1", "10.9.0.1", check=False)
    finally:
        outside.ip("route", "delete", "10.9.0.1/32")
    assert (" 0 received" in ping.stdout) is guarded
    machine.pyfw("down", CONF)
