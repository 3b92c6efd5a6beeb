"""Roles: a gateway with two clients, the kill switch, and a clean end."""

import re
import shutil
import signal
import time
from dataclasses import dataclass

import pytest

from lab import BEHIND, OUTER, Namespace, Network, Process
from pyfw.demo.daemon import installed_command
from pyfw.demo.pair import Keys
from pyfw.demo.web import WebServer
from tests.interop.host_state import host_state

_PHONE_GATEWAY = "198.18.1.2"
_GATEWAY, _LAPTOP, _PHONE = ((f"10.8.0.{n}", f"fd08::{n}") for n in (1, 2, 3))
# The capabilities of packaging/pyfw@.service.
_CAPABILITIES_OF_THE_SERVICE = (
    "setpriv", "--bounding-set=-all,+net_admin,+net_raw,+net_bind_service", "--no-new-privs",
)  # fmt: skip


@dataclass
class Site:
    """A gateway, a server behind it without a route back, and two clients outside."""

    network: Network
    laptop: Namespace
    phone: Namespace
    keys: tuple[Keys, Keys, Keys]

    @property
    def gateway(self) -> Namespace:
        return self.network.gateway

    def write_files(self) -> None:
        """Writes the three configuration files and their settings."""
        own, laptop, phone = self.keys
        peers = "".join(
            f"[Peer]\nPublicKey = {key.public}\nAllowedIPs = {v4}/32, {v6}/128\n"
            for key, (v4, v6) in ((laptop, _LAPTOP), (phone, _PHONE))
        )
        write(
            self.gateway,
            f"[Interface]\nPrivateKey = {own.private}\nListenPort = 51820\n"
            f"Address = {_GATEWAY[0]}/24, {_GATEWAY[1]}/64\n{peers}",
            'role = "gateway"\n',
        )
        for at, key, (v4, v6), endpoint in (
            (self.laptop, laptop, _LAPTOP, OUTER["gateway"].v4),
            (self.phone, phone, _PHONE, _PHONE_GATEWAY),
        ):
            write(
                at,
                f"[Interface]\nPrivateKey = {key.private}\nAddress = {v4}/24, {v6}/64\n"
                f"DNS = {_GATEWAY[0]}\n"
                f"[Peer]\nPublicKey = {own.public}\nEndpoint = {endpoint}:51820\n"
                "AllowedIPs = 0.0.0.0/0, ::/0\n",
                'role = "client"\n',
            )

    def up(self) -> tuple[Process, Process, Process]:
        """Starts the three daemons."""
        gateway = start_pyfw(self.gateway, *_CAPABILITIES_OF_THE_SERVICE)
        return gateway, start_pyfw(self.laptop), start_pyfw(self.phone)


def write(at: Namespace, conf: str, toml: str) -> None:
    at.write("/run/wg0.conf", conf)
    at.write("/run/wg0.pyfw.toml", toml)


def start_pyfw(at: Namespace, *wrapper: str) -> Process:
    process = at.start(*wrapper, installed_command("pyfw"), "run", "/run/wg0.conf")
    process.wait_for('"message":"tunnel.started"', 10)
    return process


@pytest.fixture
def site(network: Network) -> Site:
    phone = network.another_client("phone", 1)
    for at in (network.gateway, network.client, phone):
        at.write("/run/resolv.conf", "nameserver 192.0.2.53\n")
        at.run("mount", "--bind", "/run/resolv.conf", "/etc/resolv.conf")
        at.run("mkdir", "-p", "/run/pyfw")
    # Without what the role must set up.
    for switch in ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"):
        assert network.gateway.sysctl(switch, "0")
    for version in ("-4", "-6"):
        network.server.ip(version, "route", "delete", "default")
    keys = (Keys.generate(), Keys.generate(), Keys.generate())
    site = Site(network, network.client, phone, keys)
    site.write_files()
    return site


def can_ping(at: Namespace, address: str) -> bool:
    # Several, as the first ones may wait for a handshake.
    return at.run("ping", "-c", "3", "-i", "0.2", "-W", "1", address, check=False).returncode == 0


@pytest.mark.parametrize("version", [4, 6])
def test_two_clients_load_a_page_through_a_gateway(site: Site, version: int) -> None:
    machines = (site.gateway, site.laptop, site.phone)
    before = [host_state(at) for at in machines]
    processes = site.up()
    web = WebServer(site.network.server, BEHIND["server"].of(version))
    for client in (site.laptop, site.phone):
        assert can_ping(client, _GATEWAY[version == 6])
        page = web.load(client)
        assert page.sha256_equal
        assert page.resources > 1
        assert f"nameserver {_GATEWAY[0]}" in host_state(client)["name servers"]
    if shutil.which("lynx") and version == 4:
        source = site.phone.run("lynx", "-source", f"http://{web.address}:8080/").stdout
        assert "<title>pyfw</title>" in source
    for process in processes:
        process.signal(signal.SIGTERM)
    assert [process.stop() for process in processes] == [0, 0, 0]
    assert [host_state(at) for at in machines] == before


def test_peers_are_isolated_unless_the_setting_is_off(site: Site) -> None:
    gateway, *_ = site.up()
    for client in (site.laptop, site.phone):
        assert can_ping(client, _GATEWAY[0])
    for client, other_addresses in ((site.laptop, _PHONE), (site.phone, _LAPTOP)):
        for address in other_addresses:
            output = client.run("ping", "-c", "2", "-W", "1", address, check=False).stdout
            assert " 0 received" in output
            assert re.search("Packet filtered|prohibited", output), output
    site.gateway.write("/run/wg0.pyfw.toml", 'role = "gateway"\nisolate_peers = false\n')
    gateway.signal(signal.SIGHUP)
    gateway.wait_for('"message":"reload.applied"')
    assert "restart" not in gateway.output()
    for address in _PHONE:
        assert can_ping(site.laptop, address)


def test_the_next_start_cleans_up_after_a_killed_gateway(site: Site) -> None:
    before = host_state(site.gateway)
    gateway = start_pyfw(site.gateway)
    gateway.signal(signal.SIGKILL)
    gateway.stop()
    left = host_state(site.gateway)
    assert left["sysctls"][:2] == ["net.ipv4.ip_forward = 1", "net.ipv6.conf.all.forwarding = 1"]
    assert any("masquerade" in line for line in left["firewall"])
    site.gateway.write("/run/wg0.pyfw.toml", "")
    again = start_pyfw(site.gateway)
    now = host_state(site.gateway)
    assert (now["sysctls"], now["firewall"]) == (before["sysctls"], before["firewall"])
    assert again.stop() == 0
    assert host_state(site.gateway) == before


def test_a_reload_adds_and_removes_a_role(site: Site) -> None:
    site.gateway.write("/run/wg0.pyfw.toml", "")
    gateway = start_pyfw(site.gateway)
    before = host_state(site.gateway)
    for number, toml in enumerate(('role = "gateway"\n', ""), 1):
        site.gateway.write("/run/wg0.pyfw.toml", toml)
        gateway.signal(signal.SIGHUP)
        wait_until(lambda n=number: gateway.output().count('"message":"reload.applied"') == n)
        if toml:
            assert host_state(site.gateway)["sysctls"] != before["sysctls"]
    assert host_state(site.gateway) == before


def test_forwarding_ends_with_the_last_of_two_gateways(site: Site) -> None:
    before = host_state(site.gateway)["sysctls"]
    key = Keys.generate().private
    site.gateway.write(
        "/run/wg1.conf", f"[Interface]\nPrivateKey = {key}\nAddress = 10.81.0.1/24\n"
    )
    site.gateway.write("/run/wg1.pyfw.toml", 'role = "gateway"\n')
    one = start_pyfw(site.gateway)
    two = site.gateway.start(installed_command("pyfw"), "run", "/run/wg1.conf")
    two.wait_for('"message":"tunnel.started"', 10)
    assert one.stop() == 0
    assert host_state(site.gateway)["sysctls"][0] == "net.ipv4.ip_forward = 1"
    assert two.stop() == 0
    assert host_state(site.gateway)["sysctls"] == before


@pytest.fixture
def protected(site: Site) -> Site:
    """A laptop with a kill switch and a route outside the tunnel; the gateway counts packets outside it."""
    laptop, server = site.laptop, site.network.server
    laptop.ip("route", "add", "default", "via", OUTER["gateway"].v4)
    server.ip("route", "add", "default", "via", BEHIND["gateway"].v4)
    site.gateway.sysctl("net.ipv4.ip_forward", "1")
    assert can_ping(laptop, BEHIND["server"].v4)
    conf = laptop.run("cat", "/run/wg0.conf").stdout
    laptop.write("/run/hosts", f"{OUTER['gateway'].v4} gate.example\n")
    laptop.run("mount", "--bind", "/run/hosts", "/etc/hosts")
    conf = conf.replace(f"Endpoint = {OUTER['gateway'].v4}", "Endpoint = gate.example")
    write(laptop, conf, 'role = "client"\nkill_switch = true\n')
    chain = (
        'type filter hook prerouting priority -300; iifname != "outer" accept; '
        "udp dport 51820 accept; icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, "
        "nd-router-solicit, mld2-listener-report } accept;"
        " counter;"
    )
    site.gateway.run("nft", f"table inet leaks {{ chain c {{ {chain} }}; }}")
    return site


def leaked_packets(site: Site) -> int:
    output = site.gateway.run("nft", "list", "table", "inet", "leaks").stdout
    return int(re.findall(r"counter packets (\d+)", output)[-1])


def test_a_kill_switch_stays_closed_over_a_crash(protected: Site) -> None:
    laptop, server = protected.laptop, BEHIND["server"].v4
    before = host_state(laptop)
    start_pyfw(protected.gateway)
    client = start_pyfw(laptop)
    assert can_ping(laptop, server)
    flood = laptop.start("ping", "-i", "0.01", server)
    time.sleep(0.2)
    before_kill = leaked_packets(protected)
    client.signal(signal.SIGKILL)
    client.stop()
    assert not can_ping(laptop, server)
    refused = laptop.run("ping", "-c", "1", "-W", "1", OUTER["gateway"].v4, check=False)
    assert refused.returncode != 0
    # The name of the endpoint can no longer be resolved.
    laptop.run("sh", "-c", ": > /etc/hosts")
    client = start_pyfw(laptop)
    assert can_ping(laptop, server)
    assert leaked_packets(protected) == before_kill
    assert client.stop() == 0
    # It opens when the tunnel is taken down in order.
    assert can_ping(laptop, server)
    flood.stop()
    assert leaked_packets(protected) > before_kill
    assert host_state(laptop) == before


def test_a_failed_start_leaves_a_kill_switch_closed(
    protected: Site,
) -> None:
    laptop, server = protected.laptop, BEHIND["server"].v4
    before = host_state(laptop)
    client = start_pyfw(laptop)
    client.signal(signal.SIGKILL)
    client.stop()
    before_kill = leaked_packets(protected)
    conf = laptop.run("cat", "/run/wg0.conf").stdout
    laptop.write("/run/wg0.conf", conf.replace("[Peer]", "PostUp = false\n[Peer]"))
    for _ in range(2):
        done = laptop.run(installed_command("pyfw"), "run", "/run/wg0.conf", check=False)
        assert done.returncode == 1
        assert "the kill switch stays closed; pyfw down wg0 opens it" in done.stderr
        assert not can_ping(laptop, server)
    assert leaked_packets(protected) == before_kill
    laptop.run(installed_command("pyfw"), "down", "/run/wg0.conf")
    assert can_ping(laptop, server)
    assert host_state(laptop) == before


def test_a_reload_closes_and_opens_a_kill_switch(protected: Site) -> None:
    laptop, near = protected.laptop, OUTER["gateway"].v4
    laptop.write("/run/wg0.pyfw.toml", 'role = "client"\n')
    client = start_pyfw(laptop)
    # Outside the tunnel: the route to the local network is more specific.
    assert can_ping(laptop, near)
    for number, switch in enumerate(("true", "false"), 1):
        laptop.write("/run/wg0.pyfw.toml", f'role = "client"\nkill_switch = {switch}\n')
        client.signal(signal.SIGHUP)
        wait_until(lambda n=number: client.output().count('"message":"reload.applied"') == n)
        assert can_ping(laptop, near) == (switch == "false")
    assert client.stop() == 0


def wait_until(condition: object, within_s: float = 5) -> None:
    assert callable(condition)
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
