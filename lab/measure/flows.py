"""TCP flows: throughput and its cost, order at the receiver, and the delay of a ping under the load."""

from dataclasses import dataclass

from lab.measure.pings import delays, ping_script
from lab.measure.sample import Sample
from lab.measure.tunnel import LOAD_PORT, LoadScript, MeasuredTunnel

# Gives several hundred pings in a window, which is no load.
_PING_INTERVAL_S = 0.004


@dataclass(frozen=True)
class Flows:
    """Some flows up to the server and some down from it."""

    up: int
    down: int
    # Whether the client pings the gateway under the load.
    pinged: bool = False

    @property
    def name(self) -> str:
        """Such as tcp-1-up, tcp-8-down, tcp-1-both."""
        if self.up and self.down:
            return f"tcp-{self.up}-both"
        return f"tcp-{self.up}-up" if self.up else f"tcp-{self.down}-down"

    def run(self, tunnel: MeasuredTunnel, seconds: float) -> Sample:
        """Returns gbit_s, cpu_s_gb, retransmitted, out_of_order, late, and p50_us, p99_us if pinged."""
        network, address = tunnel.pair.network, tunnel.server_address
        flows = [
            LoadScript(network.server, "flows", ("serve", address, LOAD_PORT)),
            LoadScript(
                network.client, "flows", ("connect", address, LOAD_PORT, self.up, self.down)
            ),
        ]
        ping = [ping_script(tunnel, _PING_INTERVAL_S)] if self.pinged else []
        result = tunnel.run_load(seconds, *flows, *ping)
        received = sum(output["bytes"] for output in result.outputs[: len(flows)])
        if not received:
            raise RuntimeError("nothing arrived")
        ends = (result.counters.client, result.counters.server)
        values: dict[str, float] = {
            "gbit_s": received * 8 / seconds / 1e9,
            "cpu_s_gb": result.cpu_ns / received,
            "retransmitted": sum(end.retransmitted for end in ends),
            "out_of_order": sum(end.out_of_order for end in ends),
        }
        if result.counters.late is not None:
            values["late"] = result.counters.late
        if self.pinged:
            values |= delays(result.outputs[-1])
        return Sample(values, result.counters.drops())
