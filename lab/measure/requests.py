"""Requests, each on its own TCP connection: how many per second, and how long one takes."""

from dataclasses import dataclass

from lab.measure.sample import Sample, percentile
from lab.measure.tunnel import LOAD_PORT, LoadScript, MeasuredTunnel


@dataclass(frozen=True)
class Requests:
    """Short connections to the server, several at once."""

    concurrency: int = 32
    name: str = "requests"

    def run(self, tunnel: MeasuredTunnel, seconds: float) -> Sample:
        """Returns requests_s, p50_us, p99_us, cpu_us_request, retransmitted, late."""
        network, address = tunnel.pair.network, tunnel.server_address
        for machine in (network.client, network.server):
            machine.sysctl("net.ipv4.ip_local_port_range", "1024 65535")
        result = tunnel.run_load(
            seconds,
            LoadScript(network.server, "requests", ("serve", address, LOAD_PORT)),
            LoadScript(
                network.client, "requests", ("request", address, LOAD_PORT, self.concurrency)
            ),
        )
        took: list[int] = result.outputs[1]["microseconds"]
        if not took:
            raise RuntimeError("no request was answered")
        ends = (result.counters.client, result.counters.server)
        values: dict[str, float] = {
            "requests_s": len(took) / seconds,
            "p50_us": percentile(took, 0.5),
            "p99_us": percentile(took, 0.99),
            "cpu_us_request": result.cpu_ns / 1e3 / len(took),
            "retransmitted": sum(end.retransmitted for end in ends),
        }
        if result.counters.late is not None:
            values["late"] = result.counters.late
        return Sample(values, result.counters.drops())
