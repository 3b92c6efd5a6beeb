"""Requests, each on a TCP connection of its own: how many a second, how long one takes."""

from dataclasses import dataclass

from lab.measure.sample import Sample, percentile
from lab.measure.subject import LOAD_PORT, Party, Subject


@dataclass(frozen=True)
class Requests:
    """Short connections to the server, some at once."""

    at_once: int = 32
    name: str = "requests"

    def run(self, subject: Subject, seconds: float) -> Sample:
        """requests_s, p50_us, p99_us, cpu_us_request, late."""
        network, address = subject.pair.network, subject.server_address
        for machine in (network.client, network.server):
            machine.sysctl("net.ipv4.ip_local_port_range", "1024 65535")
        seen = subject.observe(
            seconds,
            Party(network.server, "requests", ("serve", address, LOAD_PORT)),
            Party(network.client, "requests", ("ask", address, LOAD_PORT, self.at_once)),
        )
        took: list[int] = seen.told[1]["microseconds"]
        if not took:
            raise RuntimeError("no request was answered")
        values: dict[str, float] = {
            "requests_s": len(took) / seconds,
            "p50_us": percentile(took, 0.5),
            "p99_us": percentile(took, 0.99),
            "cpu_us_request": seen.cpu_ns / 1e3 / len(took),
            "retransmitted": seen.counted.client.retransmitted + seen.counted.server.retransmitted,
        }
        if seen.counted.late is not None:
            values["late"] = seen.counted.late
        return Sample(values, seen.counted.drops())
