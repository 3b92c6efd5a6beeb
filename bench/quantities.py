"""What is measured, in words: titles, units, digits, and which way is better."""

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
        """A value, without its unit."""
        return format(value, self.style)


# By the name that a sample has it under. The order is that of the columns.
QUANTITIES = {
    "gbit_s": Quantity("throughput", "Gbit/s", ".2f", True),
    "received_s": Quantity("received", "datagrams/s", ",.0f", True),
    "requests_s": Quantity("requests", "a second", ",.0f", True),
    "cpu_s_gb": Quantity("CPU, both daemons", "s/GB", ".2f", False),
    "cpu_us_packet": Quantity("CPU, both daemons", "µs a packet", ".2f", False),
    "cpu_us_request": Quantity("CPU, both daemons", "µs a request", ".0f", False),
    "p50_us": Quantity("delay, p50", "µs", ",.0f", False),
    "p99_us": Quantity("delay, p99", "µs", ",.0f", False),
    "lost": Quantity("lost", "share", ".1%", False),
    "peak_rss_mib": Quantity("peak memory of a daemon", "MiB", ".0f", False),
    "seal_ns": Quantity("seal", "ns a segment", ".0f", False),
    "open_ns": Quantity("open", "ns a segment", ".0f", False),
}
# Added up over the rounds, not averaged.
COUNTS = {
    "late": "late counters",
    "late_at_sink": "late at the sink",
    "out_of_order": "out of order",
    "retransmitted": "sent again",
}
# What the tables call a measure.
TITLES = {
    "rtt-idle": "ping, idle",
    "tcp-1-up": "one TCP flow up",
    "tcp-1-down": "one TCP flow down",
    "tcp-1-both": "one TCP flow each way at once",
    "tcp-8-up": "8 TCP flows up",
    "tcp-8-down": "8 TCP flows down",
    "tcp-128-up": "128 TCP flows up",
    "tcp-128-down": "128 TCP flows down",
    "requests": "requests, a TCP connection each",
    "cipher": "the cipher alone",
    "memory": "memory",
}


def title(measure: str) -> str:
    """A measure in words."""
    match measure.split("-"):
        case ["udp", length, "flood"]:
            return f"UDP flood of {length} B"
        case ["udp", length, rate]:
            return f"UDP of {length} B at {int(rate):,} a second"
    return TITLES.get(measure, measure)
