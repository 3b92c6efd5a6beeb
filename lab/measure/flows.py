"""TCP flows: throughput and its cost, order at the receiver, and the delay they make for a ping."""

from dataclasses import dataclass

from lab.measure.pings import delays, pinging
from lab.measure.sample import Sample
from lab.measure.subject import LOAD_PORT, Party, Subject

# Between two pings under load: several hundred of them in a window, and nothing to the load.
_PING_INTERVAL_S = 0.004


@dataclass(frozen=True)
class Flows:
    """So many flows up to the server and down from it."""

    up: int
    down: int
    # Whether the tunnel is pinged under the load.
    pinged: bool = False

    @property
    def name(self) -> str:
        """tcp-1-up, tcp-8-down, tcp-1-both."""
        if self.up and self.down:
            return f"tcp-{self.up}-both"
        return f"tcp-{self.up}-up" if self.up else f"tcp-{self.down}-down"

    def run(self, subject: Subject, seconds: float) -> Sample:
        """gbit_s and cpu_s_gb of what applications got, retransmitted, out_of_order, late; p50_us, p99_us."""
        network, address = subject.pair.network, subject.server_address
        flows = [
            Party(network.server, "flows", ("serve", address, LOAD_PORT)),
            Party(network.client, "flows", ("connect", address, LOAD_PORT, self.up, self.down)),
        ]
        ping = [pinging(subject, _PING_INTERVAL_S)] if self.pinged else []
        seen = subject.observe(seconds, *flows, *ping)
        received = sum(told["bytes"] for told in seen.told[: len(flows)])
        if not received:
            raise RuntimeError("nothing arrived")
        ends = (seen.counted.client, seen.counted.server)
        values: dict[str, float] = {
            "gbit_s": received * 8 / seconds / 1e9,
            "cpu_s_gb": seen.cpu_ns / received,
            "retransmitted": sum(end.retransmitted for end in ends),
            "out_of_order": sum(end.out_of_order for end in ends),
        }
        if seen.counted.late is not None:
            values["late"] = seen.counted.late
        if self.pinged:
            values |= delays(seen.told[-1])
        return Sample(values, seen.counted.drops())
