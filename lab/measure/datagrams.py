"""UDP datagrams up to the server: how many arrive, in which order, and what one costs."""

from dataclasses import dataclass

from lab.measure.sample import Sample
from lab.measure.subject import LOAD_PORT, Party, Subject


@dataclass(frozen=True)
class Datagrams:
    """Datagrams of one length (of UDP payload), at a rate or, with 0, as fast as they go."""

    length: int
    rate: int = 0

    @property
    def name(self) -> str:
        """udp-64-flood, udp-64-30000."""
        return f"udp-{self.length}-{self.rate or 'flood'}"

    def run(self, subject: Subject, seconds: float) -> Sample:
        """sent_s, received_s, lost (a share), cpu_us_packet, late, and late_at_sink, by their numbers."""
        network, address = subject.pair.network, subject.server_address
        seen = subject.observe(
            seconds,
            Party(network.server, "datagrams", ("sink", address, LOAD_PORT)),
            Party(
                network.client,
                "datagrams",
                ("source", address, LOAD_PORT, self.length, self.rate),
            ),
        )
        sink, source = seen.told
        if not sink["received"]:
            raise RuntimeError("nothing arrived")
        values: dict[str, float] = {
            "sent_s": source["sent"] / seconds,
            "received_s": sink["received"] / seconds,
            # What is on its way at one edge of the window and not at the other is not lost.
            "lost": max(1 - sink["received"] / source["sent"], 0.0),
            "cpu_us_packet": seen.cpu_ns / 1e3 / sink["received"],
            "late_at_sink": sink["late"],
        }
        if seen.counted.late is not None:
            values["late"] = seen.counted.late
        return Sample(values, seen.counted.drops())
