"""UDP datagrams up to the server: how many arrive, in which order, and what one costs."""

from dataclasses import dataclass

from lab.measure.sample import Sample
from lab.measure.tunnel import LOAD_PORT, LoadScript, MeasuredTunnel


@dataclass(frozen=True)
class Datagrams:
    """Datagrams of one payload length, at a rate; with rate 0 as fast as possible."""

    length: int
    rate: int = 0

    @property
    def name(self) -> str:
        """Such as udp-64-flood, udp-64-30000."""
        return f"udp-{self.length}-{self.rate or 'flood'}"

    def run(self, tunnel: MeasuredTunnel, seconds: float) -> Sample:
        """Returns sent_s, received_s, lost (a share), cpu_us_packet, late, late_at_sink (by number)."""
        network, address = tunnel.pair.network, tunnel.server_address
        source = ("source", address, LOAD_PORT, self.length, self.rate)
        result = tunnel.run_load(
            seconds,
            LoadScript(network.server, "datagrams", ("sink", address, LOAD_PORT)),
            LoadScript(network.client, "datagrams", source),
        )
        sink, sent = result.outputs[0], result.outputs[1]["sent"]
        if not sink["received"]:
            raise RuntimeError("nothing arrived")
        values: dict[str, float] = {
            "sent_s": sent / seconds,
            "received_s": sink["received"] / seconds,
            # Datagrams in flight at the start of the window can outnumber those in flight at its end.
            "lost": max(1 - sink["received"] / sent, 0.0),
            "cpu_us_packet": result.cpu_ns / 1e3 / sink["received"],
            "late_at_sink": sink["late"],
        }
        if result.counters.late is not None:
            values["late"] = result.counters.late
        return Sample(values, result.counters.drops())
