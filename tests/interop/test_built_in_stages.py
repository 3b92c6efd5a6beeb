"""tap and impair in a daemon: what the wire sees of them, and that a reload loses nothing that they hold."""

import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from scapy.layers.inet import ICMP, IP
from scapy.utils import PcapNgReader

from lab import TUNNEL, Implementation, Pair, Stream, pyfw_run
from pyfw.demo.pair import ping_ms

MakePair = Callable[..., Pair]

IMPAIR = '[[stages]]\nuse = "impair"\noptions = { delay_ms = %d }\n'


def with_stages(text: str) -> Callable[[], Implementation]:
    return lambda: pyfw_run(text)


def test_a_delay_delays_and_a_tap_behind_it_sees_what_passed(
    make_pair: MakePair, tmp_path: Path
) -> None:
    capture = tmp_path / "tap.pcapng"
    tap = f'[[stages]]\nuse = "tap"\nfilter.protocol = "icmp"\noptions.file = "{capture}"\n'
    pair = make_pair(pyfw_run, with_stages(f"{IMPAIR % 20}{tap}"))
    pair.first_ping_ms()
    # Both directions, the request and its answer.
    assert 40 <= ping_ms(pair.network.client, TUNNEL["gateway"].v4) < 200
    counted = pair.gateway.counters()["stages"]["stages"]["Impair"]
    assert counted["own"]["delayed"] == counted["frames"] > 0
    with PcapNgReader(str(capture)) as reader:
        seen = [(packet.direction, packet[IP].src, packet[ICMP].type) for packet in reader]
    client, gateway = TUNNEL["client"].v4, TUNNEL["gateway"].v4
    assert seen == [(1, client, 8), (2, gateway, 0)] * 2
    assert capture.stat().st_mode & 0o777 == 0o600


def test_a_reload_to_another_delay_loses_nothing_and_keeps_the_order(make_pair: MakePair) -> None:
    pair = make_pair(pyfw_run, with_stages(IMPAIR % 30))
    pair.first_ping_ms()
    addresses = (TUNNEL[side].v4 for side in ("client", "gateway"))
    with Stream(pair.network.client, pair.network.gateway, *addresses) as stream:
        for reloads, delay_ms in enumerate((5, 60, 1), start=1):
            pair.gateway.at.write("/run/wg0.pyfw.toml", IMPAIR % delay_ms)
            pair.gateway.process.signal(signal.SIGHUP)
            deadline = time.monotonic() + 10
            while pair.gateway.process.output().count('"message":"reload.applied"') < reloads:
                assert time.monotonic() < deadline, pair.gateway.process.output()
                time.sleep(0.005)
            time.sleep(0.2)  # of traffic with this delay
    for way in (stream.up, stream.down):
        assert (way.lost, way.out_of_order, way.duplicated) == (0, 0, 0), stream
        assert way.sent > 300, stream
    assert pair.gateway.counters()["stages"]["stages"]["Impair"]["drops"] == {}


def test_losses_of_a_seed_are_counted_by_their_name(make_pair: MakePair) -> None:
    text = '[[stages]]\nuse = "impair"\ndirection = "inbound"\noptions = { loss = 0.2 }\n'
    pair = make_pair(pyfw_run, with_stages(text))
    addresses = (TUNNEL[side].v4 for side in ("client", "gateway"))
    with Stream(pair.network.client, pair.network.gateway, *addresses) as stream:
        time.sleep(1)
    counters = pair.gateway.counters()
    lost = counters["stages"]["stages"]["Impair"]["drops"]["lost"]
    assert lost == counters["inbound"]["drops"]["stage"]
    assert stream.up.lost == pytest.approx(lost, abs=3)
    assert 0.1 < stream.up.lost / stream.up.sent < 0.3, stream
    assert stream.down.lost == 0, stream
