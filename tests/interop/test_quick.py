"""pyfw up, down and run: steps happen in order, and all are undone, whatever happens."""

import shutil
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from lab import OUTER, TUNNEL, Daemon, Network, pyfw_wg
from pyfw.demo.pair import Keys, ping_ms
from tests.interop.host_commands import CONF, PEER, HostCommands, conf, pair_confs

pytestmark = pytest.mark.skipif(shutil.which("nft") is None, reason="nft is not installed")

# Together: everything that must be undone.
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
def client(network: Network) -> HostCommands:
    return HostCommands(network.client)


@pytest.fixture
def machine(client: HostCommands) -> Iterator[HostCommands]:
    """The client, whose state must be the same before and after the test."""
    before = client.state()
    yield client
    after = client.state()
    client.end()
    client.at.run("sh", "-c", "rm -rf /run/hooks /run/pyfw/*")
    assert after == before


def hooks(machine: HostCommands) -> list[str]:
    return machine.read("/run/hooks").splitlines()


def test_steps_and_hooks_run_in_order_and_are_printed(machine: HostCommands) -> None:
    machine.at.write(CONF, FULL.replace("::/0", "::/0, 10.20.0.0/16, fd20::/48, 10.30.40.0/24"))
    done = machine.pyfw("up", CONF)
    # Each hook logs whether there is a link, and the mark that a default route needs.
    assert hooks(machine) == ["PreUp wg0 0", "PostUp wg0 1 0xca6c"]
    assert done.stdout == ""
    up = done.stderr.splitlines()
    down = machine.pyfw("down", CONF).stderr.splitlines()
    assert hooks(machine)[2:] == ["PreDown wg0 1 0xca6c", "PostDown wg0 0"]
    assert all(line.startswith("[#] ") for line in up + down)
    steps = (
        "echo PreUp",
        "tuntap add",
        "address add",
        "set mtu",
        "resolv.conf",
        "wg set wg0",
        "nft",
        "route add",
        "rule add",
        "echo PostUp",
    )
    first = [next(n for n, line in enumerate(up) if step in line) for step in steps]
    assert first == sorted(first)
    routes = [line.split()[5] for line in up if "route add" in line]
    lengths = [int(route.rpartition("/")[2]) for route in routes]
    assert lengths == [48, 24, 16, 0, 0]
    assert "echo PreDown" in down[0] and "echo PostDown" in down[-1]


@pytest.mark.parametrize(
    ("interface", "error"),
    [
        ("PreUp = echo output; false; true", "PreUp failed (exit 1): echo output; false"),
        ("PostUp = kill -9 $$", "PostUp failed (SIGKILL)"),
        ("Table = 77", "route 0.0.0.0/0: File exists"),
    ],
)
def test_a_step_that_fails_undoes_the_others(
    machine: HostCommands, interface: str, error: str
) -> None:
    machine.at.ip("route", "add", "default", "dev", "outer", "table", "77")
    machine.at.write(CONF, conf(f"{ADDRESSES}\n{DNS}\n{HOOKS}\n{interface}", EVERYTHING))
    failed = machine.pyfw("up", CONF, check=False)
    machine.at.ip("route", "delete", "default", "table", "77")
    assert failed.returncode == 1
    assert error in failed.stderr and "Traceback" not in failed.stderr
    # As with wg-quick, only a tunnel that is up runs PreDown and PostDown.
    assert not any("Down" in line for line in hooks(machine))


def test_a_route_of_another_link_is_kept(machine: HostCommands) -> None:
    machine.at.write(CONF, conf(ADDRESSES, "AllowedIPs = 192.0.2.0/24"))
    before = machine.at.ip("route")
    failed = machine.pyfw("up", CONF, check=False)
    assert (failed.returncode, machine.at.ip("route")) == (1, before)
    assert failed.stderr.endswith("pyfw: wg0 is not up: route 192.0.2.0/24: File exists\n")


@pytest.mark.parametrize("command", ["up", "down"])
def test_up_and_down_clean_up_after_a_killed_daemon(machine: HostCommands, command: str) -> None:
    machine.at.write(CONF, FULL)
    clean = machine.state()
    machine.pyfw("up", CONF)
    up = machine.interface_state()
    machine.at.run("kill", "-9", str(machine.pid()))
    machine.wait_for("! ip link show dev wg0 2>/dev/null")
    left = machine.state()
    assert {what for what in clean if left[what] != clean[what]} == {
        "rules",
        "nftables",
        "dns",
        "records",
    }
    done = machine.pyfw(command, CONF)
    assert "an earlier run was killed: undoing what it left" in done.stderr
    if command == "up":
        assert machine.interface_state() == up
        assert hooks(machine)[2:] == ["PostDown wg0 0", "PreUp wg0 0", "PostUp wg0 1 0xca6c"]
        machine.pyfw("down", CONF)
    else:
        assert hooks(machine)[2:] == ["PostDown wg0 0"]


def test_a_daemon_killed_during_up_is_cleaned_up(machine: HostCommands) -> None:
    slow = "PostUp = echo $$ > /run/hook.pid; exec sleep 60"
    machine.at.write(CONF, conf(f"{ADDRESSES}\n{DNS}\n{HOOKS}\n{slow}", EVERYTHING))
    starting = machine.start("up", CONF)
    starting.wait_for("[#] echo $$")
    machine.at.run("kill", "-9", str(machine.pid()))
    assert starting.stop() == 1
    assert "the daemon exited before it reported ready" in starting.output()
    machine.pyfw("down", CONF)
    assert not any("Down" in line for line in hooks(machine))
    # The hook survives its parent.
    machine.shell("kill $(cat /run/hook.pid)")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_during_up_undoes_everything(
    machine: HostCommands, number: signal.Signals
) -> None:
    machine.at.write(CONF, conf(f"{ADDRESSES}\n{DNS}\nPostUp = exec sleep 60", EVERYTHING))
    starting = machine.start("up", CONF)
    starting.wait_for("[#] exec sleep 60")
    starting.signal(number)
    assert starting.stop(timeout_s=10) == 1
    assert "Traceback" not in starting.output()


def test_a_second_daemon_is_refused(machine: HostCommands) -> None:
    machine.at.write(CONF, FULL)
    machine.pyfw("up", CONF)
    first = (machine.pid(), machine.interface_state(), machine.state())
    for command in ("up", "run"):
        refused = machine.pyfw(command, CONF, check=False)
        assert refused.returncode == 1
        assert "wg0 is already running" in refused.stderr
    assert (machine.pid(), machine.interface_state(), machine.state()) == first
    assert len(hooks(machine)) == 2
    machine.pyfw("down", CONF)


def test_an_interface_of_another_kind_is_refused(machine: HostCommands) -> None:
    machine.at.write(CONF, FULL)
    machine.at.ip("link", "add", "wg0", "type", "veth", "peer", "name", "other")
    refused = machine.pyfw("up", CONF, check=False)
    machine.at.ip("link", "delete", "wg0")
    assert refused.returncode == 1
    assert "an interface wg0 exists already" in refused.stderr
    assert hooks(machine) == []


@pytest.fixture(scope="module")
def state_after_up(client: HostCommands) -> dict[str, Any]:
    """The set-up of wg0 after `pyfw up`."""
    client.at.write(CONF, FULL)
    client.pyfw("up", CONF)
    state = client.interface_state()
    client.pyfw("down", CONF)
    client.at.run("rm", "-f", "/run/hooks")
    return state


@pytest.mark.parametrize("ending", ["SIGTERM", "pyfw down", "link", "socket"])
def test_run_does_and_undoes_the_same_as_up(
    state_after_up: dict[str, Any], machine: HostCommands, ending: str
) -> None:
    machine.at.write(CONF, FULL)
    running = machine.start("run", CONF)
    running.wait_for('"message":"tunnel.started"')
    assert machine.interface_state() == state_after_up
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
    # PreDown needs the link, and `wg show` the socket.
    pre_down = {"link": [], "socket": ["PreDown wg0 1"]}.get(ending, ["PreDown wg0 1 0xca6c"])
    assert hooks(machine) == ["PreUp wg0 0", "PostUp wg0 1 0xca6c", *pre_down, "PostDown wg0 0"]


def test_a_failing_predown_leaves_the_tunnel_up(machine: HostCommands) -> None:
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


def test_down_uses_the_record_if_the_file_is_broken(machine: HostCommands) -> None:
    machine.at.write(CONF, FULL)
    machine.pyfw("up", CONF)
    machine.at.write(CONF, "[Interface]\nPrivateKey = broken\n")
    done = machine.pyfw("down", CONF)
    assert "PrivateKey" in done.stderr and "using the recorded hooks" in done.stderr
    assert hooks(machine)[2:] == ["PreDown wg0 1 0xca6c", "PostDown wg0 0"]
    failed = machine.pyfw("down", CONF, check=False)
    assert failed.returncode == 1
    assert "wg0 is not up" in failed.stderr


def test_a_name_is_looked_up_in_etc_wireguard(machine: HostCommands) -> None:
    failed = machine.pyfw("up", "no-such-tunnel", check=False)
    assert failed.returncode == 1
    assert "/etc/wireguard/no-such-tunnel.conf" in failed.stderr


def test_endpoints_are_resolved_after_preup(machine: HostCommands) -> None:
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


def test_postup_may_set_the_private_key(machine: HostCommands) -> None:
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
def test_saveconfig_writes_the_running_configuration(machine: HostCommands, ending: str) -> None:
    file = conf(f"{ADDRESSES}\nSaveConfig = true\n{HOOKS}", "AllowedIPs = 10.20.0.0/16")
    machine.at.write(CONF, file)
    running = machine.start("run", CONF)
    running.wait_for('"message":"tunnel.started"')
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


def test_without_ipv6_there_is_one_warning_and_ipv4_works(machine: HostCommands) -> None:
    machine.at.write(CONF, FULL)
    setting = "/proc/sys/net/ipv6/conf/default/disable_ipv6"
    machine.shell(f"echo 1 > {setting}")
    try:
        done = machine.pyfw("up", CONF)
    finally:
        machine.shell(f"echo 0 > {setting}")
    warnings = [line for line in done.stderr.splitlines() if line.startswith("[!]")]
    assert warnings == ["[!] IPv6 is disabled here: its addresses and routes are left out"]
    assert "default dev wg0" in machine.at.ip("route", "show", "table", "51820")
    assert "51820" not in machine.at.ip("-6", "rule")
    machine.pyfw("down", CONF)


def test_after_a_reload_the_state_is_that_of_a_restart(machine: HostCommands) -> None:
    machine.at.write(CONF, conf(f"Address = 10.9.0.1/24\n{DNS}", "AllowedIPs = 0.0.0.0/0"))
    machine.pyfw("up", CONF)
    full = conf("Address = 10.9.0.9/24, fd09::1/64\nDNS = 10.9.0.99", EVERYTHING)
    plain = conf("Address = 10.9.0.1/24", "AllowedIPs = 10.20.0.0/16")
    for file, rules, server in ((full, 8 + 3, "10.9.0.99"), (plain, 4 + 3, "192.0.2.53")):
        machine.at.write(CONF, file)
        machine.at.run("kill", "-HUP", str(machine.pid()))
        machine.wait_for(f"grep -q {server} /etc/resolv.conf")
        machine.wait_for(f"test $( (ip -4 rule; ip -6 rule) | wc -l) = {rules - 2}")
        reloaded = (machine.interface_state(), machine.state()["nftables"])
        machine.pyfw("down", CONF)
        machine.pyfw("up", CONF)
        assert (machine.interface_state(), machine.state()["nftables"]) == reloaded
    machine.pyfw("down", CONF)


def test_two_default_routes_may_end_in_any_order(machine: HostCommands) -> None:
    second = "/run/wg1.conf"
    machine.at.write(CONF, conf(f"{ADDRESSES}\n{DNS}", EVERYTHING))
    other = conf("Address = 10.8.0.1/24\nDNS = 10.8.0.53", "AllowedIPs = 0.0.0.0/0")
    machine.at.write(second, other)
    machine.pyfw("up", CONF)
    first = machine.state()
    machine.pyfw("up", second)
    # As with wg-quick, the later tunnel has precedence.
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


def test_a_default_route_excludes_the_own_datagrams(
    network: Network, machine: HostCommands
) -> None:
    confs = pair_confs((Keys.generate(), Keys.generate()), "0.0.0.0/0, ::/0")
    machine.at.sysctl("net.ipv4.conf.all.rp_filter", "1")
    machine.at.sysctl("net.ipv4.conf.outer.rp_filter", "1")
    peer = Daemon(network.gateway, pyfw_wg(), confs[1]).wait_until_up()
    machine.at.write(CONF, confs[0])
    try:
        machine.pyfw("up", CONF)
        # Reachable through the tunnel only.
        ping_ms(machine.at, "198.51.100.1")
        ping_ms(machine.at, "2001:db8:2::1")
        ping_ms(machine.at, TUNNEL["gateway"].v4)
        sent = machine.pyfw("show", "wg0", "transfer").stdout.split()
        # A more specific route in the main table bypasses the tunnel.
        ping_ms(machine.at, OUTER["gateway"].v4)
        assert machine.pyfw("show", "wg0", "transfer").stdout.split() == sent
        machine.pyfw("down", CONF)
    finally:
        machine.at.sysctl("net.ipv4.conf.all.rp_filter", "0")
        machine.at.sysctl("net.ipv4.conf.outer.rp_filter", "0")
        peer.stop()


@pytest.mark.parametrize("protected", [True, False])
def test_probes_for_the_tunnels_address_are_dropped(
    network: Network, machine: HostCommands, protected: bool
) -> None:
    table = "" if protected else "\nTable = off"
    machine.at.write(CONF, conf(f"{ADDRESSES}{table}", EVERYTHING))
    machine.pyfw("up", CONF)
    outside = network.gateway
    outside.ip("route", "add", "10.9.0.1/32", "via", OUTER["client"].v4)
    try:
        ping = outside.run("ping", "-c", "2", "-i", "0.2", "-W", "1", "10.9.0.1", check=False)
    finally:
        outside.ip("route", "delete", "10.9.0.1/32")
    assert (" 0 received" in ping.stdout) is protected
    machine.pyfw("down", CONF)
