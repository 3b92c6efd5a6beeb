"""Pings through the tunnel, from one end's kernel to the other's: the delay of the tunnel alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lab.measure.sample import Sample, percentile
from lab.measure.tunnel import LoadScript, MeasuredTunnel

_INTERVAL_S = 0.002


@dataclass(frozen=True)
class Pings:
    """Pings through an idle tunnel."""

    name: str = "rtt-idle"

    def run(self, tunnel: MeasuredTunnel, seconds: float) -> Sample:
        """Returns p50_us, p99_us and unanswered."""
        result = tunnel.run_load(seconds, ping_script(tunnel, _INTERVAL_S))
        return Sample(delays(result.outputs[0]), result.counters.drops())


def ping_script(tunnel: MeasuredTunnel, interval_s: float) -> LoadScript:
    """Returns the script with which the client pings the gateway."""
    client = tunnel.pair.network.client
    return LoadScript(client, "pings", (tunnel.gateway_address, interval_s))


def delays(output: Mapping[str, Any]) -> dict[str, float]:
    """Returns p50_us, p99_us and unanswered from the script's output.

    Raises RuntimeError if no ping was answered.
    """
    times_us, unanswered = output["microseconds"], output["unanswered"]
    if not times_us:
        raise RuntimeError(f"no answer to any of {unanswered} pings")
    return {
        "p50_us": percentile(times_us, 0.5),
        "p99_us": percentile(times_us, 0.99),
        "unanswered": unanswered,
    }
