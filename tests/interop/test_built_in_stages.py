"""The stages tap and impair in a daemon, and a reload of their options under traffic."""

import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from scapy.layers.inet import ICMP, IP
from scapy.utils import PcapNgReader

from lab import TUNNEL, Implementation, Pair, Stream, pyfw_run
from pyfw.demo.pair import ping_ms
from tests.interop.conftest import MakePair

IMPAIR = '[[stages]]\nuse = "impair"\noptions = { delay_ms = %d }\n'


def with_settings(text: str) -> Callable[[], Implementation]:
    return lambda: pyfw_run(text)


def stream(pair: Pair) -> Stream:
    addresses = (TUNNEL[side].v4 for side in ("client", "gateway"))
    return Stream(pair.network.client, pair.network.gateway, *addresses)


def test_impair_delays_and_tap_captures(make_pair_in_module: MakePair, tmp_path: Path) -> None:
    capture = tmp_path / "tap.pcapng"
    tap = f'[[stages]]\nuse = "tap"\nfilter.protocol = "icmp"\noptions.file = "{capture}"\n'
    pair = make_pair_in_module(pyfw_run, with_settings(f"{IMPAIR % 20}{tap}"))
    pair.first_ping_ms()
    # The request and its answer are delayed.
    assert ping_ms(pair.network.client, TUNNEL["gateway"].v4) >= 40
    counted = pair.gateway.counters()["stages"]["stages"]["Impair"]
    assert counted["own"]["delayed"] == counted["frames"] > 0
    with PcapNgReader(str(capture)) as reader:
        captured = [(packet.direction, packet[IP].src, packet[ICMP].type) for packet in reader]
    client, gateway = TUNNEL["client"].v4, TUNNEL["gateway"].v4
    assert captured == [(1, client, 8), (2, gateway, 0)] * 2
    assert capture.stat().st_mode & 0o777 == 0o600


def test_reloaded_delay_loses_and_reorders_nothing(make_pair_in_module: MakePair) -> None:
    pair = make_pair_in_module(pyfw_run, with_settings(IMPAIR % 30))
    pair.first_ping_ms()
    with stream(pair) as traffic:
        for reloads, delay_ms in enumerate((5, 60, 1), start=1):
            pair.gateway.at.write("/run/wg0.pyfw.toml", IMPAIR % delay_ms)
            pair.gateway.process.signal(signal.SIGHUP)
            deadline = time.monotonic() + 10
            while pair.gateway.process.output().count('"message":"reload.applied"') < reloads:
                assert time.monotonic() < deadline, pair.gateway.process.output()
                time.sleep(0.005)
            time.sleep(0.15)  # of traffic with this delay
    for direction in (traffic.up, traffic.down):
        lost = (direction.lost, direction.out_of_order, direction.duplicated)
        assert lost == (0, 0, 0), traffic
        assert direction.sent > 200, traffic
    assert pair.gateway.counters()["stages"]["stages"]["Impair"]["drops"] == {}


def test_impair_counts_its_losses(make_pair_in_module: MakePair) -> None:
    text = '[[stages]]\nuse = "impair"\ndirection = "inbound"\noptions = { loss = 0.2 }\n'
    pair = make_pair_in_module(pyfw_run, with_settings(text))
    with stream(pair) as traffic:
        time.sleep(0.6)
    counters = pair.gateway.counters()
    lost = counters["stages"]["stages"]["Impair"]["drops"]["lost"]
    assert lost == counters["inbound"]["drops"]["stage"]
    assert traffic.up.lost == pytest.approx(lost, abs=3)
    assert 0.1 < traffic.up.lost / traffic.up.sent < 0.3, traffic
    assert traffic.down.lost == 0, traffic
