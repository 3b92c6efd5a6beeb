"""The end of a daemon, in every way: nothing is left, and other tunnels are not disturbed."""

import os
import re
import signal
import socket
import statistics
import time
from collections.abc import Callable, Iterator

import pytest

from lab import OUTER, TUNNEL, Daemon, Network, Pair, Process, Stream, pyfw_run, pyfw_wg
from pyfw.demo.daemon import installed_command
from pyfw.demo.pair import Keys, ping_ms
from tests.interop.host_state import host_state

MakePair = Callable[..., Pair]


def traffic(pair: Pair) -> Stream:
    addresses = (TUNNEL[side].v4 for side in ("client", "gateway"))
    return Stream(pair.network.client, pair.network.gateway, *addresses)


def wait_for_end(process: Process, within_s: float) -> float:
    """Waits for the end of a process, and returns the seconds it took."""
    started = time.monotonic()
    while process.returncode is None:
        assert time.monotonic() < started + within_s, process.output()
        time.sleep(0.005)
    return time.monotonic() - started


def with_default_route(conf: str) -> str:
    """Returns the file of a client that leaves rules and a firewall behind when it is killed."""
    return re.sub(r"AllowedIPs = .*", "AllowedIPs = 0.0.0.0/0, ::/0", conf)


def restart(old: Daemon, conf: str) -> Daemon:
    return Daemon(old.at, old.implementation, conf).wait_until_up()


@pytest.fixture(scope="module")
def shared_pair() -> Iterator[Pair]:
    with Network() as network:
        yield Pair(network, pyfw_run(), pyfw_run())


@pytest.fixture
def pair(shared_pair: Pair) -> Pair:
    """A pair with a session. The gateway is shared; the client starts again if a test has ended it."""
    if shared_pair.client.process.returncode is not None:
        shared_pair.restart("client")
    shared_pair.first_ping_ms()
    return shared_pair


def test_a_restart_after_a_kill_interrupts_traffic_for_a_second(
    network: Network,
) -> None:
    before = host_state(network.client)
    pair = Pair(network, pyfw_run(), pyfw_run())
    pair.client.stop()
    assert host_state(network.client) == before
    conf = with_default_route(pair.confs[0])
    client = restart(pair.client, conf)
    pair.first_ping_ms()
    up = host_state(network.client)
    assert any("51820" in rule for rule in up["rules"])
    assert any("pyfw_wg0" in line for line in up["firewall"])
    silences, process = [], client.process
    for _ in range(3):
        with traffic(pair) as stream:
            time.sleep(0.3)
            process.signal(signal.SIGKILL)
            wait_for_end(process, 5)
            process = network.client.start(*client.implementation.command)
            process.wait_for('"message":"tunnel.started"', 10)
            time.sleep(0.5)
        silences.append(max(stream.up.longest_silence_s, stream.down.longest_silence_s))
        assert stream.up.out_of_order + stream.down.out_of_order == 0, stream
        assert host_state(network.client) == up
    # Most of the time is the start of a process, which takes longer on a busy machine.
    load = os.getloadavg()[0] / (os.cpu_count() or 1)
    assert statistics.median(silences) <= max(1.0, load), (silences, load)
    assert process.stop() == 0
    assert host_state(network.client) == before


def test_the_next_start_undoes_what_a_killed_daemon_left(pair: Pair) -> None:
    network = pair.network
    pair.client.stop()
    before = host_state(network.client)
    client = restart(pair.client, with_default_route(pair.confs[0]))
    client.process.signal(signal.SIGKILL)
    wait_for_end(client.process, 5)
    left = host_state(network.client)
    assert left["rules"] != before["rules"]
    assert left["files"] == ["/run/pyfw/wg0.json", "/run/wireguard/wg0.sock"]
    # With a configuration that needs neither rules nor a firewall.
    client = restart(pair.client, pair.confs[0])
    now = host_state(network.client)
    assert (now["rules"], now["firewall"]) == (before["rules"], before["firewall"])
    assert client.stop() == 0
    assert host_state(network.client) == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_under_load_drains_and_ends_within_a_second(pair: Pair, number: int) -> None:
    process = pair.client.process
    with traffic(pair) as stream:
        time.sleep(0.2)
        process.signal(number)
        process.signal(number)
        assert wait_for_end(process, 3) <= 1.0
        time.sleep(0.2)
    assert process.stop() == 0, process.output()
    assert not pair.client.at.has("/run/wireguard/wg0.sock")
    # Only what is in the queue of the TUN at the end is lost.
    assert stream.up.lost <= 50, stream
    assert stream.up.out_of_order == 0, stream
    assert stream.up.refused > 100, stream


@pytest.mark.parametrize("what", ["link", "socket"])
def test_deleting_link_or_socket_ends_the_daemon(pair: Pair, what: str) -> None:
    client = pair.client
    with traffic(pair):
        time.sleep(0.2)
        if what == "link":
            client.at.ip("link", "delete", "wg0")
        else:
            client.at.run("rm", "/run/wireguard/wg0.sock")
        assert wait_for_end(client.process, 3) <= 1.0
    assert client.process.stop() == 0, client.process.output()
    # The engine may be the first to detect that the link is gone.
    assert re.search(f"{what} deleted|the TUN is gone", client.process.output())
    assert not client.at.has("/run/wireguard/wg0.sock")
    assert "wg0" not in client.at.ip("-o", "link")


def test_a_second_daemon_does_not_disturb_the_first(pair: Pair) -> None:
    client = pair.client.at
    before = host_state(client)
    commands = (
        (installed_command("pyfw"), "run", "/run/wg0.conf"),
        (installed_command("pyfw"), "up", "/run/wg0.conf"),
        (installed_command("pyfw-wg"), "wg0"),
    )
    with traffic(pair) as stream:
        for command in commands:
            done = client.run(*command, check=False)
            assert done.returncode == 1
            (message,) = done.stderr.splitlines()
            assert "wg0 is already running" in message, message
    for way in (stream.up, stream.down):
        assert (way.lost, way.refused, way.out_of_order) == (0, 0, 0), stream
    assert host_state(client) == before


@pytest.fixture
def process(network: Network) -> Process:
    """A process with wg1 and wg2 in the client, and one with their peers in the gateway."""
    client = network.client
    keys = [Keys.generate() for _ in range(4)]
    for number in (1, 2):
        client_key, gateway_key = keys[number - 1], keys[number + 1]
        client.write(
            f"/run/wg{number}.conf",
            f"[Interface]\nPrivateKey = {client_key.private}\nAddress = 10.{number}.0.1/24\n"
            f"[Peer]\nPublicKey = {gateway_key.public}\nAllowedIPs = 10.{number}.0.0/24\n"
            f"Endpoint = {OUTER['gateway'].v4}:{4000 + number}\n",
        )
        network.gateway.write(
            f"/run/wg{number}.conf",
            f"[Interface]\nPrivateKey = {gateway_key.private}\nAddress = 10.{number}.0.2/24\n"
            f"ListenPort = {4000 + number}\n"
            f"[Peer]\nPublicKey = {client_key.public}\nAllowedIPs = 10.{number}.0.0/24\n",
        )
    confs = ("/run/wg1.conf", "/run/wg2.conf")
    processes = [
        at.start(installed_command("pyfw"), "run", *confs) for at in (network.gateway, client)
    ]
    for one in processes:
        one.wait_for('"message":"tunnel.started","interface":"wg2"', 10)
    for number in (1, 2):
        ping_ms(client, f"10.{number}.0.2")
    return processes[1]


def traffic_of(network: Network, number: int) -> Stream:
    ends = (f"10.{number}.0.1", f"10.{number}.0.2")
    return Stream(network.client, network.gateway, *ends, port=5400 + number)


def test_tunnels_of_one_process_end_independently(network: Network, process: Process) -> None:
    with traffic_of(network, 1) as one, traffic_of(network, 2) as other:
        time.sleep(0.3)
        network.client.run(installed_command("pyfw"), "down", "/run/wg1.conf")
        time.sleep(0.3)
        assert process.returncode is None
        assert "wg1" not in network.client.ip("-o", "link")
    assert one.up.sent > 100 and one.up.refused > 100, one
    for way in (other.up, other.down):
        assert (way.lost, way.refused, way.out_of_order) == (0, 0, 0), other
    process.signal(signal.SIGTERM)
    wait_for_end(process, 3)
    assert process.stop() == 0
    assert "wg2" not in network.client.ip("-o", "link")


def test_an_error_in_one_of_two_files_starts_neither(network: Network) -> None:
    key = Keys.generate().private
    network.client.write("/run/wg1.conf", f"[Interface]\nPrivateKey = {key}\n")
    network.client.write("/run/wg2.conf", f"[Interface]\nPrivateKey = {key}\nMTU = 1\n")
    before = host_state(network.client)
    command = (installed_command("pyfw"), "run", "/run/wg1.conf", "/run/wg2.conf")
    done = network.client.run(*command, check=False)
    assert done.returncode == 2
    assert done.stderr == 'pyfw: /run/wg2.conf:3: MTU: "1" is not an MTU; write 68 to 65475\n'
    assert host_state(network.client) == before


def test_if_one_of_two_cannot_start_neither_stays_up(network: Network) -> None:
    client = network.client
    for number, port in ((1, 4001), (2, 4002)):
        key = Keys.generate().private
        text = (
            f"[Interface]\nPrivateKey = {key}\nListenPort = {port}\nAddress = 10.{number}.0.1/24\n"
        )
        client.write(f"/run/wg{number}.conf", text)
    other = client.start(
        "python3", "-c",
        "import socket, time; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM);"
        "s.bind(('', 4002)); print('bound', flush=True); time.sleep(60)",
    )  # fmt: skip
    other.wait_for("bound")
    before = host_state(client)
    done = client.run(
        *(installed_command("pyfw"), "run", "/run/wg1.conf", "/run/wg2.conf"),
        check=False,
        timeout_s=30,
    )
    assert done.returncode == 1
    assert "pyfw: cannot run wg2: Address already in use" in done.stderr
    assert host_state(client) == before


def test_the_service_manager_is_notified(network: Network) -> None:
    client = network.client
    key = Keys.generate().private
    client.write("/run/wg1.conf", f"[Interface]\nPrivateKey = {key}\nListenPort = 4001\n")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        # A path in the machine's own /run, seen from outside.
        manager.bind(str(client.path("/run/notify")))
        manager.settimeout(10)
        process = client.start(
            installed_command("pyfw"),
            "run",
            "/run/wg1.conf",
            environment={"NOTIFY_SOCKET": "/run/notify"},
        )
        ready = b"READY=1\nSTATUS=wg1: port 4001, 0 peers"
        assert manager.recv(4096) == ready
        process.signal(signal.SIGHUP)
        assert manager.recv(4096).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
        assert manager.recv(4096) == ready
        process.signal(signal.SIGTERM)
        assert manager.recv(4096).startswith(b"STOPPING=1")
        wait_for_end(process, 3)
    assert process.stop() == 0


def test_pyfw_wg_starts_again_over_a_stale_socket(
    make_pair: MakePair,
) -> None:
    pair = make_pair(pyfw_wg, pyfw_wg)
    pair.first_ping_ms()
    pair.client.process.signal(signal.SIGKILL)
    wait_for_end(pair.client.process, 3)
    assert pair.client.at.has("/run/wireguard/wg0.sock")
    pair.restart("client")
    pair.first_ping_ms()
