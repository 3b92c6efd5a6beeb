"""Results as `pyfw._native.replay` returns them, built without it: one drain of one TCP flow under a rule."""

from collections import Counter
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from pyfw.replay.case import Case
from pyfw.replay.report import Run

SEED = (1228, 834, 1031, 1228, 834, 1228, 1228, 637, 1228, 1228)
"""Payload lengths of the trace that the project starts from."""
ORDERED = ((0, 1), (2,), (3, 4), (5, 6, 7), (8, 9))
BY_SIZE = ((0, 3, 5, 6, 8, 9), (2,), (1, 4), (7,))
_TIMES_US = (0, 8, 14, 44, 45, 84, 85, 87, 703, 708)
_GATEWAY, _CLIENT = "192.0.2.1:51820", "192.0.2.2:51820"
_SENT, _IN_ORDER, _EARLY, _LATE = range(4)


def seed_run(rule: str, expected_ok: bool | None = None, diff: str = "") -> Run:
    """The seed's flow."""
    return run(rule, SEED, case="gso_egress/seed", expected_ok=expected_ok, diff=diff)


def ecn_run(rule: str) -> Run:
    """A flow whose ECN field changes."""
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
    """A run for the report."""
    title = "Ten segments of a page in one drain"
    return Run(title, rule, case, result(rule, lengths, ecn), expected_ok, diff)


def fake_replay(case: Case, **_options: Any) -> dict[str, Any]:
    """Replaces `pyfw._native.replay`: returns the seed's flow for every capture."""
    return result(case.rule)


def result(
    rule: str = "ordered", lengths: Sequence[int] = SEED, ecn: Sequence[int] = ()
) -> dict[str, Any]:
    """The result of a replay."""
    ecn = list(ecn) or [0] * len(lengths)
    groups = _groups(rule, lengths, ecn)
    order = [i for group in groups for i in group]
    starts = [0, *accumulate(lengths)][:-1]
    kinds, early, late = _kinds(order, starts, lengths)
    sent_ns = [1000 * (_TIMES_US[i] if i < 10 else 708 + i) for i in range(len(lengths))]
    arrived_ns = sent_ns[-1] + 250_000
    points = [[sent_ns[i], 0, starts[i], lengths[i], _SENT] for i in range(len(lengths))]
    points += [[arrived_ns, 0, starts[i], lengths[i], kinds[i]] for i in order]
    sizes = dict(Counter(map(len, groups)))
    connection = {"source": _GATEWAY, "destination": _CLIENT, "sizes": sizes}
    return {
        "packets": len(lengths),
        "skipped": 0,
        "unplaced": 0,
        "bytes": sum(lengths) + 52 * len(lengths),
        "duration_ns": arrived_ns,
        "wall_ns": 41_000,
        "cipher_ns": 9_000,
        "error": None,
        "outer": None,
        "ends": {
            name: {"counters": _counters(), "handshakes": 1} for name in ("gateway", "client")
        },
        "batches": [
            _handshake("client", 148),
            _handshake("gateway", 92),
            *(batch(group, lengths, ecn, sent_ns[-1]) for group in groups),
        ],
        "batch_count": len(groups),
        "batch_sizes": sizes,
        "sends_saved": len(lengths) - len(groups),
        "connections": [connection | {"batches": len(groups), "datagrams": len(lengths)}],
        "flows": [_flow(lengths, early, late)],
        "points": points,
        "fates": [],
        "fate_counts": {},
        "control_messages": 3,
        "truncated": False,
    }


def batch(
    group: Sequence[int],
    lengths: Sequence[int] = SEED,
    ecn: Sequence[int] = (0,) * 10,
    time_ns: int = 0,
) -> dict[str, Any]:
    """A batch of the segments with these numbers."""
    outer = [-(-(lengths[i] + 52) // 16) * 16 + 32 for i in group]
    return {
        "time_ns": time_ns,
        "end": "gateway",
        "source": _GATEWAY,
        "destination": _CLIENT,
        "ecn": ecn[group[0]],
        "segment_size": outer[0],
        "lengths": outer,
        "inner": [lengths[i] + 52 for i in group],
        "payload": [lengths[i] for i in group],
        "flows": [0] * len(group),
    }


def _groups(rule: str, lengths: Sequence[int], ecn: Sequence[int]) -> list[list[int]]:
    if rule == "by-size":
        bins: dict[tuple[int, int], list[int]] = {}
        for i, length in enumerate(lengths):
            bins.setdefault((length, ecn[i]), []).append(i)
        return [bins[key] for key in sorted(bins, reverse=True)]
    groups: list[list[int]] = []
    for i, length in enumerate(lengths):
        newest = next(
            (g for g in reversed(groups) if rule == "ordered" or ecn[g[0]] == ecn[i]), None
        )
        if (
            newest
            and ecn[newest[0]] == ecn[i]
            and lengths[newest[0]] == lengths[newest[-1]] >= length
        ):
            newest.append(i)
        else:
            groups.append([i])
    # Under by-ecn, all batches of one ECN field leave together.
    return sorted(groups, key=lambda g: ecn[g[0]]) if rule == "by-ecn" else groups


def _kinds(
    order: Sequence[int], starts: Sequence[int], lengths: Sequence[int]
) -> tuple[dict[int, int], int, int]:
    """Returns the kind of each arrival, and how many are early and late."""
    kinds: dict[int, int] = {}
    held: dict[int, int] = {}
    expected, newest, early, late = 0, -1, 0, 0
    for i in order:
        is_early, is_late = starts[i] > expected, i < newest
        kinds[i] = _LATE if is_late else _EARLY if is_early else _IN_ORDER
        early, late, newest = early + is_early, late + is_late, max(newest, i)
        held[starts[i]] = lengths[i]
        while expected in held:
            expected += held.pop(expected)
    return kinds, early, late


def _handshake(end: str, length: int) -> dict[str, Any]:
    source, destination = (_GATEWAY, _CLIENT) if end == "gateway" else (_CLIENT, _GATEWAY)
    return {
        "time_ns": 0,
        "end": end,
        "source": source,
        "destination": destination,
        "ecn": 0,
        "segment_size": length,
        "lengths": [length],
        "inner": [0],
        "payload": [0],
        "flows": [-1],
    }


def _flow(lengths: Sequence[int], early: int, late: int) -> dict[str, Any]:
    return {
        "id": 0,
        "end": "gateway",
        "protocol": "tcp",
        "source": "10.128.15.241:3000",
        "destination": "100.69.109.138:53474",
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
    path = {"entered": 10, "created": 0, "left": 10, "queued": 0}
    return {
        "outbound": path | {"marked": 0, "drops": {"no_route": 0}},
        "inbound": path | {"late": 0, "drops": {"source_not_allowed": 0}},
        "datagrams": {
            "received": 11,
            "data": 10,
            "handshakes": 1,
            "drops": {"replay": 0, "forged": 0},
        },
        "tun": {"frames": 10},
    }
