"""Measures: how they evaluate counters and output, and a short run of each."""

from collections.abc import Iterator

import pytest

from lab import BEHIND, Network, Pair, baseline, pyfw_run, unavailable
from lab.measure import (
    Cipher,
    CounterSnapshot,
    Datagrams,
    Flows,
    Measure,
    MeasuredTunnel,
    Pings,
    Requests,
    percentile,
)
from lab.measure.pings import delays, ping_script
from lab.measure.tunnel import LOAD_PORT, LoadScript
from pyfw.demo.kernel_counters import Counters

needs_bench_build = pytest.mark.skipif(
    baseline.unavailable() is not None, reason=str(baseline.unavailable())
)

# A slow link, for `tc qdisc`.
SLOW = ("rate", "50kbit", "burst", "1600", "limit", "100000")


def test_percentile_is_one_of_the_values() -> None:
    values = [float(n) for n in range(100, 0, -1)]
    assert percentile(values, 0.5) == 50
    assert percentile(values, 0.99) == 99
    assert percentile([7.0], 0.99) == 7
    assert percentile(values, 0.0) == 1


def test_percentile_needs_values() -> None:
    with pytest.raises(ValueError, match="no values"):
        percentile([], 0.5)


def test_delays_are_of_answered_pings() -> None:
    assert delays({"microseconds": [66, 12_500, 70], "unanswered": 2}) == {
        "p50_us": 70,
        "p99_us": 12_500,
        "unanswered": 2,
    }


def test_no_answer_to_any_ping_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="no answer to any of 3 pings"):
        delays({"microseconds": [], "unanswered": 3})


def machine(rcvbuf_errors: int = 0, **interfaces: dict[str, int]) -> Counters:
    zeros = dict.fromkeys(("in_drops", "in_errors", "out_drops"), 0)
    rows = {name: {**zeros, **row} for name, row in interfaces.items()}
    return Counters({"Udp.RcvbufErrors": rcvbuf_errors}, rows)


def snapshot(late: int | None = 0, daemon_drops: int | None = 0) -> CounterSnapshot:
    return CounterSnapshot(
        client=machine(wg0={"out_drops": 5, "in_drops": 1}, outer={}),
        gateway=machine(10, wg0={"in_errors": 2}, outer={"in_drops": 3}, behind={}),
        server=machine(4, eth0={"out_drops": 1}),
        daemon_sockets=10,
        late=late,
        daemon_drops=daemon_drops,
    )


def test_each_drop_counts_in_one_layer() -> None:
    assert snapshot(daemon_drops=8).drops() == {
        "TUN queue": 5,
        "daemon": 8,
        "links": 4,
        "daemon's socket": 10,
        "TUN input": 3,
        # The gateway's ten are those of the daemon's socket.
        "receiver's socket": 4,
    }


def test_layers_without_drops_are_left_out() -> None:
    nothing = snapshot() - snapshot()
    assert nothing.drops() == {}
    assert nothing.late == 0


def test_late_is_unknown_if_no_daemon_reports_it() -> None:
    assert (snapshot(late=None) - snapshot(late=None)).late is None


@pytest.fixture(scope="module", params=[4, 6])
def tunnel(request: pytest.FixtureRequest) -> Iterator[MeasuredTunnel]:
    """A tunnel of either IP version, shared by the measures."""
    with Network() as network:
        pair = Pair(network, pyfw_run(), pyfw_run(), outer_version=request.param)
        pair.first_ping_ms(version=request.param)
        yield MeasuredTunnel(pair, request.param)


@pytest.mark.netns
@pytest.mark.skipif(unavailable() is not None, reason=f"no namespaces: {unavailable()}")
class TestInNamespaces:
    """Short runs through a tunnel."""

    @pytest.mark.parametrize(
        ("measure", "quantities"),
        [
            (Flows(1, 0, pinged=True), {"gbit_s", "cpu_s_gb", "p50_us", "p99_us"}),
            (Flows(0, 3), {"gbit_s", "cpu_s_gb"}),
            (Flows(2, 2), {"gbit_s", "cpu_s_gb"}),
            (Datagrams(64, 5_000), {"sent_s", "received_s", "cpu_us_packet"}),
            (Datagrams(1200), {"sent_s", "received_s", "cpu_us_packet"}),
            (Requests(concurrency=4), {"requests_s", "p50_us", "p99_us", "cpu_us_request"}),
            (Pings(), {"p50_us", "p99_us"}),
        ],
        ids=lambda value: value.name if not isinstance(value, set) else "",
    )
    def test_measure_gives_its_quantities(
        self, tunnel: MeasuredTunnel, measure: Measure, quantities: set[str]
    ) -> None:
        values = measure.run(tunnel, 0.3).values
        assert quantities <= values.keys()
        assert all(values[quantity] > 0 for quantity in quantities)
        assert values.get("late", 0) == 0

    def test_rate_is_kept(self, tunnel: MeasuredTunnel) -> None:
        values = Datagrams(64, 2_000).run(tunnel, 0.5).values
        # A busy machine may reach only half of it.
        assert 1_000 < values["sent_s"] < 3_000
        assert values["late_at_sink"] == 0

    def test_slow_answers_do_not_delay_further_pings(self, tunnel: MeasuredTunnel) -> None:
        client = tunnel.pair.network.client
        client.run("tc", "qdisc", "add", "dev", "outer", "root", "tbf", *SLOW)
        try:
            result = tunnel.run_load(0.4, ping_script(tunnel, 0.01))
        finally:
            client.run("tc", "qdisc", "del", "dev", "outer", "root")
        (output,) = result.outputs
        # Each takes some 27 ms on this link; all were sent in the window.
        assert max(output["microseconds"]) > 200_000
        assert len(output["microseconds"]) + output["unanswered"] >= 20

    def test_both_ends_of_a_flow_use_cubic(self, tunnel: MeasuredTunnel) -> None:
        network, address = tunnel.pair.network, tunnel.server_address
        result = tunnel.run_load(
            0.1,
            LoadScript(network.server, "flows", ("serve", address, LOAD_PORT)),
            LoadScript(network.client, "flows", ("connect", address, LOAD_PORT, 1, 1)),
        )
        assert [output["controlled_by"] for output in result.outputs] == [["cubic"], ["cubic"]]

    def test_tunnel_that_carries_nothing_is_an_error(self) -> None:
        with Network() as network:
            pair = Pair(network, pyfw_run(), pyfw_run())
            pair.first_ping_ms()
            network.gateway.sysctl("net.ipv4.ip_forward", "0")
            with pytest.raises(RuntimeError):
                Datagrams(64, 1_000).run(MeasuredTunnel(pair), 0.2)

    @needs_bench_build
    def test_forwarder_carries_a_flow(self) -> None:
        with Network() as network:
            pair = Pair(network, baseline.bare(), baseline.bare())
            pair.first_ping_ms()
            assert Flows(1, 0).run(MeasuredTunnel(pair), 0.3).values["gbit_s"] > 0

    def test_links_carry_a_large_mtu(self) -> None:
        with Network(9000) as network:
            pair = Pair(network, pyfw_run(), pyfw_run(), mtu=8920)
            pair.first_ping_ms()
            # 8,920 with the IP and ICMP headers.
            ping = ("ping", "-n", "-c", "1", "-W", "5", "-M", "do", "-s", "8892")
            assert "1 received" in network.client.run(*ping, BEHIND["server"].v4).stdout


@needs_bench_build
def test_cipher_cost_is_per_gigabyte_of_payload() -> None:
    values = Cipher("ring").run().values
    assert values["seal_ns"] > 0 and values["open_ns"] > 0
    # 1,420 less 40 for headers and 12 for TCP's timestamps.
    cost = (values["seal_ns"] + values["open_ns"]) / 1368
    assert values["cpu_s_gb"] == pytest.approx(cost)


@needs_bench_build
def test_unknown_cipher_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="unknown cipher"):
        Cipher("off").run()
