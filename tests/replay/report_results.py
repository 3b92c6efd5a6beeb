"""Results for tests of the report, made without the extension: a few lines of each rule, and of a judge."""

from collections.abc import Sequence
from typing import Any

from pyfw.replay.report import Run

SEED = (1228, 834, 1031, 1228, 834, 1228, 1228, 637, 1228, 1228)
SEED_NS = (0, 8, 14, 44, 45, 84, 85, 87, 703, 708)
SOURCE, DESTINATION = "10.128.15.241:3000", "100.69.109.138:53474"
START_NS = 1_745_917_429_585_143_000


def seed_run(rule: str, expected_ok: bool | None = None, diff: str = "") -> Run:
    """The trace that the project starts from."""
    return run(rule, SEED, case="gso_egress/seed", expected_ok=expected_ok, diff=diff)


def ecn_run(rule: str) -> Run:
    """A flow that is marked half-way, then again not."""
    return run(rule, (1200,) * 8, ecn=(2, 2, 2, 3, 2, 3, 2, 2), case="gso_egress/ecn-changes")


def run(
    rule: str,
    lengths: Sequence[int],
    *,
    ecn: Sequence[int] = (),
    case: str = "case",
    expected_ok: bool | None = None,
    diff: str = "",
) -> Run:
    """One drain of one TCP flow, through one rule."""
    marks = list(ecn) or [0] * len(lengths)
    batches = _batches(rule, lengths, marks)
    order = [i for batch in batches for i in batch]
    starts = [sum(lengths[:i]) for i in range(len(lengths))]
    sent_ns = [START_NS + 1000 * (SEED_NS[i] if i < 10 else 708 + i) for i in range(len(lengths))]
    kinds, early, late = _judge(order, starts, lengths)
    arrived_ns = sent_ns[-1] + 250_000
    points = [[sent_ns[i], 0, starts[i], lengths[i], 0] for i in range(len(lengths))]
    points += [[arrived_ns, 0, starts[i], lengths[i], kinds[i]] for i in order]
    handshakes = [
        _control(148, "client", START_NS),
        _control(92, "gateway", START_NS),
    ]
    result = {
        "packets": len(lengths),
        "skipped": 0,
        "unplaced": 0,
        "bytes": sum(lengths) + 52 * len(lengths),
        "duration_ns": arrived_ns - START_NS,
        "wall_ns": 41_000,
        "cipher_ns": 9_000,
        "error": None,
        "ends": {
            name: {"counters": _counters(), "handshakes": 1} for name in ("gateway", "client")
        },
        "batches": handshakes + [_batch(batch, lengths, marks, sent_ns[-1]) for batch in batches],
        "batch_count": len(batches) + 2,
        "batch_sizes": {
            n: [len(batch) for batch in batches].count(n) for n in {len(batch) for batch in batches}
        },
        "sends_saved": len(lengths) - len(batches),
        "connections": [],
        "flows": [_flow(lengths, early, late)],
        "points": points,
        "fates": [],
        "truncated": False,
    }
    title = "Ten segments of a page, given in one drain"
    return Run(title, rule, case, result, expected_ok, diff)


def _batches(rule: str, lengths: Sequence[int], ecn: Sequence[int]) -> list[list[int]]:
    if rule == "by-size":
        bins: dict[tuple[int, int], list[int]] = {}
        for i, length in enumerate(lengths):
            bins.setdefault((length, ecn[i]), []).append(i)
        return [bins[key] for key in sorted(bins, reverse=True)]
    batches: list[list[int]] = []
    for i, length in enumerate(lengths):
        mine = [b for b in batches if rule == "ordered" or ecn[b[0]] == ecn[i]]
        newest = mine[-1] if mine else None
        if (
            newest
            and ecn[newest[0]] == ecn[i]
            and lengths[newest[0]] == lengths[newest[-1]] >= length
        ):
            newest.append(i)
        else:
            batches.append([i])
    # Each connection's batches leave together where ECN is part of the key.
    return sorted(batches, key=lambda b: ecn[b[0]]) if rule == "by-ecn" else batches


def _judge(
    order: Sequence[int], starts: Sequence[int], lengths: Sequence[int]
) -> tuple[dict[int, int], int, int]:
    kinds, held, expected, newest, early, late = {}, set[int](), 0, -1, 0, 0
    for i in order:
        beyond, behind = starts[i] > expected, i < newest
        kinds[i] = 3 if behind else 2 if beyond else 1
        early, late, newest = early + beyond, late + behind, max(newest, i)
        held.add(i)
        while any(starts[h] == expected for h in held):
            expected += next(lengths[h] for h in held if starts[h] == expected)
    return kinds, early, late


def _batch(
    batch: Sequence[int], lengths: Sequence[int], ecn: Sequence[int], time_ns: int
) -> dict[str, Any]:
    outer = [-(-(lengths[i] + 52) // 16) * 16 + 32 for i in batch]
    return {
        "time_ns": time_ns,
        "end": "gateway",
        "source": "192.0.2.1:51820",
        "destination": "192.0.2.2:51820",
        "ecn": ecn[batch[0]],
        "segment_size": outer[0],
        "lengths": outer,
        "inner": [lengths[i] + 52 for i in batch],
        "payload": [lengths[i] for i in batch],
        "flows": [0] * len(batch),
    }


def _control(length: int, end: str, time_ns: int) -> dict[str, Any]:
    ends = ["192.0.2.1:51820", "192.0.2.2:51820"]
    source, destination = ends if end == "gateway" else reversed(ends)
    return {
        "time_ns": time_ns,
        "end": end,
        "source": source,
        "destination": destination,
        "ecn": 0,
        "segment_size": length,
        "lengths": [length],
        "inner": [0],
        "flows": [-1],
    }


def _flow(lengths: Sequence[int], early: int, late: int) -> dict[str, Any]:
    return {
        "id": 0,
        "end": "gateway",
        "protocol": "tcp",
        "source": SOURCE,
        "destination": DESTINATION,
        "segments": len(lengths),
        "bytes": sum(lengths),
        "delivered": len(lengths),
        "lost": 0,
        "duplicates": 0,
        "early": early,
        "late": late,
        "extent": 8 if late else 0,
        "distance": 8 if late else 0,
        "gaps": 0,
        "spurious": late,
        "bytes_equal": True,
    }


def _counters() -> dict[str, Any]:
    path = {"entered": 10, "created": 0, "left": 10, "queued": 0, "drops": {"no_route": 0}}
    return {
        "outbound": {**path, "marked": 0},
        "inbound": {**path, "late": 0, "marked": 0},
        "datagrams": {
            "received": 11,
            "data": 10,
            "handshakes": 1,
            "drops": {"replay": 0, "forged": 0},
        },
        "handshake_drops": {"malformed": 0},
        "gso": {"batches": 5, "datagrams": 10, "sizes": {"1": 1, "2": 3, "3": 1}},
    }
