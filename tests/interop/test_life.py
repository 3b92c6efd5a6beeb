"""From start to end, whatever the end is: nothing of it stays, and what goes on is not disturbed."""

import os
import re
import signal
import socket
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lab import OUTER, TUNNEL, Daemon, Network, Pair, Process, Stream, pyfw_run, pyfw_wg
from pyfw.demo.daemon import _pyfw
from pyfw.demo.pair import Keys, ping_ms
from tests.interop.host_state import host_state

MakePair = Callable[..., Pair]


def traffic(pair: Pair) -> Stream:
    addresses = (TUNNEL[side].v4 for side in ("client", "gateway"))
    return Stream(pair.network.client, pair.network.gateway, *addresses)


def has_ended(process: Process, within_s: float) -> float:
    """Waits for the end; returns how long that took."""
    started = time.monotonic()
    while process.returncode is None:
        assert time.monotonic() < started + within_s, process.output()
        time.sleep(0.005)
    return time.monotonic() - started


def with_default_route(conf: str) -> str:
    """Of a client that leaves rules and a firewall behind, if it is killed."""
    return re.sub(r"AllowedIPs = .*", "AllowedIPs = 0.0.0.0/0, ::/0", conf)


def restarted(old: Daemon, conf: str) -> Daemon:
    return Daemon(old.at, old.implementation, conf).wait_until_up()


@pytest.fixture
def pair(network: Network) -> Pair:
    pair = Pair(network, pyfw_run(), pyfw_run())
    pair.first_ping_ms()
    return pair


def test_killed_under_load_and_started_again_it_is_silent_for_a_second_at_most(
    network: Network,
) -> None:
    before = host_state(network.client)
    pair = Pair(network, pyfw_run(), pyfw_run())
    pair.client.stop()
    assert host_state(network.client) == before
    conf = with_default_route(pair.confs[0])
    client = restarted(pair.client, conf)
    pair.first_ping_ms()
    up = host_state(network.client)
    assert any("51820" in rule for rule in up["rules"])
    assert any("pyfw_wg0" in line for line in up["firewall"])
    silences, process = [], client.process
    for _ in range(5):
        with traffic(pair) as stream:
            time.sleep(0.3)
            process.signal(signal.SIGKILL)
            has_ended(process, 5)
            process = network.client.start(*client.implementation.command)
            process.wait_for('"message":"tunnel.started"', 10)
            time.sleep(0.5)
        silences.append(max(stream.up.longest_silence_s, stream.down.longest_silence_s))
        assert stream.up.out_of_order + stream.down.out_of_order == 0, stream
        assert host_state(network.client) == up
    # Most of it is a new process that loads; where others work on this machine, that takes its time.
    shared = os.getloadavg()[0] / (os.cpu_count() or 1)
    assert statistics.median(silences) <= max(1.0, shared), (silences, shared)
    assert process.stop() == 0
    assert host_state(network.client) == before


def test_what_a_killed_daemon_left_is_there_until_the_next_start_undoes_it(
    network: Network, pair: Pair
) -> None:
    pair.client.stop()
    before = host_state(network.client)
    client = restarted(pair.client, with_default_route(pair.confs[0]))
    client.process.signal(signal.SIGKILL)
    has_ended(client.process, 5)
    left = host_state(network.client)
    assert left["rules"] != before["rules"]
    assert left["files"] == ["/run/pyfw/wg0.json", "/run/wireguard/wg0.sock"]
    # The same name, and nothing that would need rules or a firewall.
    client = restarted(pair.client, pair.confs[0])
    now = host_state(network.client)
    assert (now["rules"], now["firewall"]) == (before["rules"], before["firewall"])
    assert client.stop() == 0
    assert host_state(network.client) == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_end_under_load_it_drains_and_is_gone_within_a_second(
    pair: Pair, number: int
) -> None:
    process = pair.client.process
    with traffic(pair) as stream:
        time.sleep(0.2)
        process.signal(number)
        process.signal(number)
        assert has_ended(process, 3) <= 1.0
        time.sleep(0.2)
    assert process.stop() == 0, process.output()
    assert not pair.client.at.has("/run/wireguard/wg0.sock")
    # What the kernel took went into the TUN; only what lay in its queue at the end is lost.
    assert stream.up.lost <= 50, stream
    assert stream.up.out_of_order == 0, stream
    assert stream.up.refused > 100, stream


@pytest.mark.parametrize("what", ["link", "socket"])
def test_its_link_or_its_socket_deleted_under_load_ends_it_well(pair: Pair, what: str) -> None:
    client = pair.client
    with traffic(pair):
        time.sleep(0.2)
        if what == "link":
            client.at.ip("link", "delete", "wg0")
        else:
            client.at.run("rm", "/run/wireguard/wg0.sock")
        assert has_ended(client.process, 3) <= 1.0
    assert client.process.stop() == 0, client.process.output()
    # The engine may be the first to see that its link is gone.
    assert re.search(f"{what} deleted|the TUN is gone", client.process.output())
    assert not client.at.has("/run/wireguard/wg0.sock")
    assert "wg0" not in client.at.ip("-o", "link")


@pytest.mark.parametrize("command", ["run", "up", "wg"])
def test_a_second_daemon_of_a_name_is_refused_and_the_first_one_does_not_notice(
    pair: Pair, command: str
) -> None:
    second = {
        "run": (_pyfw("pyfw"), "run", "/run/wg0.conf"),
        "up": (_pyfw("pyfw"), "up", "/run/wg0.conf"),
        "wg": (_pyfw("pyfw-wg"), "wg0"),
    }[command]
    before = host_state(pair.client.at)
    with traffic(pair) as stream:
        done = pair.client.at.run(*second, check=False)
    assert done.returncode == 1
    (said,) = done.stderr.splitlines()
    assert "wg0" in said and "runs already" in said, said
    for way in (stream.up, stream.down):
        assert (way.lost, way.refused, way.out_of_order) == (0, 0, 0), stream
    assert host_state(pair.client.at) == before


# Several in one process


@pytest.fixture
def process(network: Network) -> Process:
    """wg1 and wg2 of one process in the client; their other ends are of one process, too."""
    client = network.client
    keys = [Keys.generate() for _ in range(4)]
    for number in (1, 2):
        ours, theirs = keys[number - 1], keys[number + 1]
        client.write(
            f"/run/wg{number}.conf",
            f"[Interface]\nPrivateKey = {ours.private}\nAddress = 10.{number}.0.1/24\n"
            f"[Peer]\nPublicKey = {theirs.public}\nAllowedIPs = 10.{number}.0.0/24\n"
            f"Endpoint = {OUTER['gateway'].v4}:{4000 + number}\n",
        )
        network.gateway.write(
            f"/run/wg{number}.conf",
            f"[Interface]\nPrivateKey = {theirs.private}\nAddress = 10.{number}.0.2/24\n"
            f"ListenPort = {4000 + number}\n"
            f"[Peer]\nPublicKey = {ours.public}\nAllowedIPs = 10.{number}.0.0/24\n",
        )
    confs = ("/run/wg1.conf", "/run/wg2.conf")
    started = []
    for at in (network.gateway, client):
        started.append(at.start(_pyfw("pyfw"), "run", *confs))
    for one in started:
        one.wait_for('"message":"tunnel.started","interface":"wg2"', 10)
    for number in (1, 2):
        ping_ms(client, f"10.{number}.0.2")
    return started[1]


def between(network: Network, number: int) -> Stream:
    ends = (f"10.{number}.0.1", f"10.{number}.0.2")
    return Stream(network.client, network.gateway, *ends, port=5400 + number)


def test_several_tunnels_live_in_one_process_and_each_ends_alone(
    network: Network, process: Process
) -> None:
    with between(network, 1) as one, between(network, 2) as other:
        time.sleep(0.3)
        network.client.run(_pyfw("pyfw"), "down", "/run/wg1.conf")
        time.sleep(0.3)
        assert process.returncode is None
        assert "wg1" not in network.client.ip("-o", "link")
    assert one.up.sent > 100 and one.up.refused > 100, one
    for way in (other.up, other.down):
        assert (way.lost, way.refused, way.out_of_order) == (0, 0, 0), other
    process.signal(signal.SIGTERM)
    has_ended(process, 3)
    assert process.stop() == 0
    assert "wg2" not in network.client.ip("-o", "link")


def test_where_one_of_several_files_is_wrong_nothing_is_applied(network: Network) -> None:
    key = Keys.generate().private
    network.client.write("/run/wg1.conf", f"[Interface]\nPrivateKey = {key}\n")
    network.client.write("/run/wg2.conf", f"[Interface]\nPrivateKey = {key}\nMTU = 1\n")
    before = host_state(network.client)
    command = (_pyfw("pyfw"), "run", "/run/wg1.conf", "/run/wg2.conf")
    done = network.client.run(*command, check=False)
    assert done.returncode == 2
    assert done.stderr == 'pyfw: /run/wg2.conf:3: MTU: "1" is not an MTU; write 68 to 65475\n'
    assert host_state(network.client) == before


def test_where_one_of_several_cannot_start_none_stays_up(network: Network) -> None:
    client = network.client
    for number, port in ((1, 4001), (2, 4002)):
        key = Keys.generate().private
        text = (
            f"[Interface]\nPrivateKey = {key}\nListenPort = {port}\nAddress = 10.{number}.0.1/24\n"
        )
        client.write(f"/run/wg{number}.conf", text)
    taken = client.start(
        "python3", "-c",
        "import socket, time; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM);"
        "s.bind(('', 4002)); print('bound', flush=True); time.sleep(60)",
    )  # fmt: skip
    taken.wait_for("bound")
    before = host_state(client)
    done = client.run(
        *(_pyfw("pyfw"), "run", "/run/wg1.conf", "/run/wg2.conf"), check=False, timeout_s=30
    )
    assert done.returncode == 1
    assert "pyfw: cannot run wg2: Address already in use" in done.stderr
    assert host_state(client) == before


def test_the_service_manager_is_told_of_start_reload_and_end(network: Network) -> None:
    client = network.client
    key = Keys.generate().private
    client.write("/run/wg1.conf", f"[Interface]\nPrivateKey = {key}\nListenPort = 4001\n")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        # A path of the machine's own /run, from outside.
        manager.bind(str(client.path("/run/notify")))
        manager.settimeout(10)
        process = client.start(
            _pyfw("pyfw"), "run", "/run/wg1.conf", environment={"NOTIFY_SOCKET": "/run/notify"}
        )
        ready = b"READY=1\nSTATUS=wg1: port 4001, 0 peers"
        assert manager.recv(4096) == ready
        process.signal(signal.SIGHUP)
        assert manager.recv(4096).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
        assert manager.recv(4096) == ready
        # What a child of ours would be told is nothing.
        environment = Path(f"/proc/{process.pid}/environ").read_bytes()
        assert b"NOTIFY_SOCKET" in environment
        process.signal(signal.SIGTERM)
        assert manager.recv(4096).startswith(b"STOPPING=1")
        has_ended(process, 3)
    assert process.stop() == 0


def test_a_daemon_for_wg_is_started_again_after_a_kill_over_its_stale_socket(
    make_pair: MakePair,
) -> None:
    pair = make_pair(pyfw_wg, pyfw_wg)
    pair.first_ping_ms()
    pair.client.process.signal(signal.SIGKILL)
    has_ended(pair.client.process, 3)
    assert pair.client.at.has("/run/wireguard/wg0.sock")
    pair.restart("client")
    pair.first_ping_ms()
