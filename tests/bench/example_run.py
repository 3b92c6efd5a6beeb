"""An example of a run, in which every target is met, some of them exactly."""

from collections.abc import Mapping

from bench.results import Conditions, Document, Entry, Record
from lab.machine import Machine

NET = "ipv4-1420"
MACHINE = Machine(processor="Some CPU <fast>", cpus=2, memory_gib=8.0, kernel="6.18")
CONDITIONS = Conditions(
    started="2026-09-30T12:00:00+00:00", load_average=0.1, stolen=0.0, python="3.13.1"
)
ENTRIES = [
    Entry(name="pyfw", kind="ours", title="pyfw (ipsec-mb)", version="0.1.0", cipher="ipsec-mb"),
    Entry(name="pyfw-ring", kind="ours", title="pyfw (ring)", version="0.1.0", cipher="ring"),
    Entry(name="cipher-off", kind="floor", title="pyfw, cipher off", version="0.1.0"),
    Entry(name="tailscale", kind="peer", title="Tailscale's fork", version="v0.0.0"),
    Entry(name="boringtun", kind="peer", title="boringtun", version="0.7.1"),
]
# By measure, candidate and quantity.
VALUES: dict[str, dict[str, dict[str, float]]] = {
    "rtt-idle": {
        "pyfw": {"p50_us": 100, "p99_us": 200},
        "tailscale": {"p50_us": 170, "p99_us": 300},
        "boringtun": {"p50_us": 80, "p99_us": 300},
    },
    **{
        f"tcp-1-{way}": {
            "pyfw": {"gbit_s": 8.0, "cpu_s_gb": 1.2, "p50_us": 2000, "out_of_order": 0, "late": 0},
            "pyfw-ring": {"gbit_s": 6.4, "cpu_s_gb": 1.8, "p50_us": 2000, "late": 0},
            "cipher-off": {"gbit_s": 16.0, "cpu_s_gb": 0.5},
            "tailscale": {"gbit_s": 4.0, "cpu_s_gb": 3.0, "p50_us": 5000, "out_of_order": 0},
        }
        for way in ("up", "down")
    },
    **{
        f"tcp-8-{way}": {
            "pyfw": {"gbit_s": 7.2, "cpu_s_gb": 1.3, "late": 0},
            "pyfw-ring": {"gbit_s": 5.8, "cpu_s_gb": 1.9, "late": 0},
            "tailscale": {"gbit_s": 4.0, "cpu_s_gb": 3.1},
        }
        for way in ("up", "down")
    },
    "udp-64-30000": {
        "pyfw": {"received_s": 30_000, "cpu_us_packet": 4.0, "lost": 0.0, "late": 0},
        "tailscale": {"received_s": 30_000, "cpu_us_packet": 25.0, "lost": 0.0},
        "boringtun": {"received_s": 30_000, "cpu_us_packet": 8.0, "lost": 0.0},
    },
    "udp-64-flood": {
        "pyfw": {"received_s": 270_000, "cpu_us_packet": 2.5, "lost": 0.1, "late": 0},
        "tailscale": {"received_s": 31_000, "cpu_us_packet": 25.0, "lost": 0.9},
        "boringtun": {"received_s": 90_000, "cpu_us_packet": 8.0, "lost": 0.7},
    },
    "memory": {
        "pyfw": {"peak_rss_mib": 48},
        "pyfw-ring": {"peak_rss_mib": 46},
        "tailscale": {"peak_rss_mib": 17},
    },
    "cipher": {
        "ipsec-mb": {"seal_ns": 340, "open_ns": 344, "cpu_s_gb": 0.5},
        "ring": {"seal_ns": 680, "open_ns": 688, "cpu_s_gb": 1.05},
    },
}


def document(rounds: int = 5, changes: Mapping[str, float] | None = None) -> Document:
    """Returns the run. `changes` replace values in all rounds, such as {"tcp-1-up pyfw gbit_s": 7.9}."""
    records = [
        Record(
            round=number,
            net=NET,
            candidate=candidate,
            measure=measure,
            values=values | _changed(changes or {}, measure, candidate),
        )
        for number in range(1, rounds + 1)
        for measure, rows in VALUES.items()
        for candidate, values in rows.items()
    ]
    return Document(
        machine=MACHINE,
        conditions=CONDITIONS,
        plan="quick",
        rounds=rounds,
        candidates=ENTRIES,
        left_out={"gotatun": "cargo, which builds it, is not installed"},
        records=records,
    )


def _changed(changes: Mapping[str, float], measure: str, candidate: str) -> dict[str, float]:
    prefix = f"{measure} {candidate} "
    return {
        name.removeprefix(prefix): value
        for name, value in changes.items()
        if name.startswith(prefix)
    }
