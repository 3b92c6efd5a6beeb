"""Measures: what they make of counters and output, and that each of them measures."""

import time
from collections.abc import Iterator

import pytest

from lab import BEHIND, Network, Pair, bare, pyfw_run, unavailable
from lab.measure import (
    Cipher,
    Datagrams,
    Flows,
    Measure,
    Pings,
    Requests,
    Subject,
    Tally,
    percentile,
)
from lab.measure.pings import delays, pinging
from lab.measure.subject import LOAD_PORT, Party
from pyfw.demo.kernel_counters import Counters

# Of a link, for `tc qdisc`.
SLOW = ("rate", "50kbit", "burst", "1600", "limit", "100000")


def test_a_percentile_is_one_of_the_values() -> None:
    values = [float(n) for n in range(100, 0, -1)]
    assert percentile(values, 0.5) == 50
    assert percentile(values, 0.99) == 99
    assert percentile([7.0], 0.99) == 7
    assert percentile(values, 0.0) == 1


def test_nothing_has_no_percentile() -> None:
    with pytest.raises(ValueError, match="no values"):
        percentile([], 0.5)


def test_delays_are_told_of_those_that_were_answered() -> None:
    assert delays({"microseconds": [66, 12_500, 70], "unanswered": 2}) == {
        "p50_us": 70,
        "p99_us": 12_500,
        "unanswered": 2,
    }


def test_a_tunnel_that_answers_no_ping_is_a_failure() -> None:
    with pytest.raises(RuntimeError, match="no answer to any of 3 pings"):
        delays({"microseconds": [], "unanswered": 3})


def machine(rcvbuf_errors: int = 0, **interfaces: dict[str, int]) -> Counters:
    still = dict.fromkeys(("in_drops", "in_errors", "out_drops"), 0)
    rows = {name: {**still, **row} for name, row in interfaces.items()}
    return Counters({"Udp.RcvbufErrors": rcvbuf_errors}, rows)


def tally(late: int | None = 0, daemon_drops: int | None = 0) -> Tally:
    return Tally(
        client=machine(wg0={"out_drops": 5, "in_drops": 1}, outer={}),
        gateway=machine(10, wg0={"in_errors": 2}, outer={"in_drops": 3}, behind={}),
        server=machine(4, eth0={"out_drops": 1}),
        daemon_sockets=10,
        late=late,
        daemon_drops=daemon_drops,
    )


def test_each_drop_is_of_one_layer() -> None:
    assert tally(daemon_drops=8).drops() == {
        "TUN queue": 5,
        "daemon": 8,
        "links": 4,
        "daemon's socket": 10,
        "TUN input": 3,
        # The gateway's ten are the daemon's.
        "receiver's socket": 4,
    }


def test_layers_without_a_drop_are_left_out() -> None:
    still = tally() - tally()
    assert still.drops() == {}
    assert still.late == 0


def test_a_daemon_that_does_not_count_is_not_taken_for_one_without_reordering() -> None:
    assert (tally(late=None) - tally(late=None)).late is None


@pytest.fixture(scope="module", params=[4, 6])
def subject(request: pytest.FixtureRequest) -> Iterator[Subject]:
    """A tunnel of either IP, shared by the measures."""
    with Network() as network:
        pair = Pair(network, pyfw_run(), pyfw_run(), outer_version=request.param)
        pair.first_ping_ms(version=request.param)
        yield Subject(pair, request.param)


@pytest.mark.netns
@pytest.mark.skipif(unavailable() is not None, reason=f"no namespaces: {unavailable()}")
class TestInNamespaces:
    """Through a tunnel, for a moment each."""

    @pytest.mark.parametrize(
        ("measure", "quantities"),
        [
            (Flows(1, 0, pinged=True), {"gbit_s", "cpu_s_gb", "p50_us", "p99_us"}),
            (Flows(0, 3), {"gbit_s", "cpu_s_gb"}),
            (Flows(2, 2), {"gbit_s", "cpu_s_gb"}),
            (Datagrams(64, 5_000), {"sent_s", "received_s", "cpu_us_packet"}),
            (Datagrams(1200), {"sent_s", "received_s", "cpu_us_packet"}),
            (Requests(at_once=4), {"requests_s", "p50_us", "p99_us", "cpu_us_request"}),
            (Pings(), {"p50_us", "p99_us"}),
        ],
        ids=lambda value: value.name if not isinstance(value, set) else "",
    )
    def test_each_measure_gives_all_that_it_promises(
        self, subject: Subject, measure: Measure, quantities: set[str]
    ) -> None:
        values = measure.run(subject, 0.3).values
        assert quantities <= values.keys()
        assert all(values[quantity] > 0 for quantity in quantities)
        assert values.get("late", 0) == 0

    def test_a_rate_is_kept_and_arrives(self, subject: Subject) -> None:
        values = Datagrams(64, 2_000).run(subject, 0.5).values
        # Half of it would still tell a rate from a flood, on a machine that has no time.
        assert 1_000 < values["sent_s"] < 3_000
        assert values["late_at_sink"] == 0

    def test_pings_go_on_whatever_an_answer_takes(self, subject: Subject) -> None:
        client = subject.pair.network.client
        client.run("tc", "qdisc", "add", "dev", "outer", "root", "tbf", *SLOW)
        try:
            seen = subject.observe(0.4, pinging(subject, 0.01))
        finally:
            client.run("tc", "qdisc", "del", "dev", "outer", "root")
        (told,) = seen.told
        # Each takes some 27 ms of such a link, and all were sent in the window.
        assert max(told["microseconds"]) > 200_000
        assert len(told["microseconds"]) + told["unanswered"] >= 30

    def test_both_ends_of_a_flow_are_controlled_by_cubic(self, subject: Subject) -> None:
        network, address = subject.pair.network, subject.server_address
        seen = subject.observe(
            0.1,
            Party(network.server, "flows", ("serve", address, LOAD_PORT)),
            Party(network.client, "flows", ("connect", address, LOAD_PORT, 1, 1)),
        )
        assert [told["controlled_by"] for told in seen.told] == [["cubic"], ["cubic"]]

    def test_what_does_not_carry_is_a_failure(self) -> None:
        with Network() as network:
            pair = Pair(network, pyfw_run(), pyfw_run())
            pair.first_ping_ms()
            network.gateway.sysctl("net.ipv4.ip_forward", "0")
            with pytest.raises(RuntimeError):
                Datagrams(64, 1_000).run(Subject(pair), 0.2)

    def test_frames_cross_from_tun_to_udp_alone(self) -> None:
        with Network() as network:
            pair = Pair(network, bare(), bare())
            pair.first_ping_ms()
            assert Flows(1, 0).run(Subject(pair), 0.3).values["gbit_s"] > 0

    def test_a_tunnel_of_large_packets_has_links_that_carry_them(self) -> None:
        with Network(9000) as network:
            pair = Pair(network, pyfw_run(), pyfw_run(), mtu=8920)
            pair.first_ping_ms()
            # IP and ICMP headers make it 8,920.
            ping = ("ping", "-n", "-c", "1", "-W", "5", "-M", "do", "-s", "8892")
            assert "1 received" in network.client.run(*ping, BEHIND["server"].v4).stdout


def test_a_cipher_costs_something_and_no_hour() -> None:
    began = time.monotonic()
    values = Cipher("ring").run().values
    assert time.monotonic() - began < 60
    assert values["seal_ns"] > 0 and values["open_ns"] > 0
    # 1,420 less 40 of headers and 12 of TCP's timestamps.
    cost = (values["seal_ns"] + values["open_ns"]) / 1368
    assert values["cpu_s_gb"] == pytest.approx(cost)


def test_a_cipher_that_is_none_is_refused_in_words() -> None:
    with pytest.raises(RuntimeError, match="unknown cipher"):
        Cipher("off").run()
