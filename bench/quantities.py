"""The measured quantities: titles, units, digits, and whether more is better."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Quantity:
    """A column of the tables."""

    title: str
    unit: str
    # As format() takes it.
    style: str
    more_is_better: bool

    def text(self, value: float) -> str:
        """Returns a value without its unit."""
        return format(value, self.style)


# By name in a sample, in the order of the columns.
QUANTITIES = {
    "gbit_s": Quantity("throughput", "Gbit/s", ".2f", True),
    "received_s": Quantity("received", "datagrams/s", ",.0f", True),
    "requests_s": Quantity("requests", "per second", ",.0f", True),
    "cpu_s_gb": Quantity("CPU, both daemons", "s/GB", ".2f", False),
    "cpu_us_packet": Quantity("CPU, both daemons", "µs per packet", ".2f", False),
    "cpu_us_request": Quantity("CPU, both daemons", "µs per request", ".0f", False),
    "p50_us": Quantity("delay, p50", "µs", ",.0f", False),
    "p99_us": Quantity("delay, p99", "µs", ",.0f", False),
    "lost": Quantity("lost", "share", ".1%", False),
    "peak_rss_mib": Quantity("peak memory of a daemon", "MiB", ".0f", False),
    "seal_ns": Quantity("seal", "ns per segment", ".0f", False),
    "open_ns": Quantity("open", "ns per segment", ".0f", False),
}
# Summed over the rounds, not averaged.
COUNTS = {
    "late": "late counters",
    "late_at_sink": "reordered at the sink",
    "out_of_order": "out of order",
    "retransmitted": "retransmitted",
}
# Titles of measures.
TITLES = {
    "rtt-idle": "ping, idle",
    "tcp-1-up": "one TCP flow up",
    "tcp-1-down": "one TCP flow down",
    "tcp-1-both": "one TCP flow each way",
    "tcp-8-up": "8 TCP flows up",
    "tcp-8-down": "8 TCP flows down",
    "tcp-128-up": "128 TCP flows up",
    "tcp-128-down": "128 TCP flows down",
    "requests": "requests, one TCP connection each",
    "cipher": "the cipher alone",
    "memory": "memory",
}


def title(measure: str) -> str:
    """Returns the title of a measure."""
    match measure.split("-"):
        case ["udp", length, "flood"]:
            return f"UDP flood, {length} B"
        case ["udp", length, rate]:
            return f"UDP, {length} B at {int(rate):,} per second"
    return TITLES.get(measure, measure)
