"""Results as the extension gives them, without it: the seed's flow under two rules."""

from collections.abc import Callable, Sequence
from typing import Any

SEED = (1228, 834, 1031, 1228, 834, 1228, 1228, 637, 1228, 1228)
ORDERED = ((0, 1), (2,), (3, 4), (5, 6, 7), (8, 9))
BY_SIZE = ((0, 3, 5, 6, 8, 9), (2,), (1, 4), (7,))


def seed_result(rule: str = "ordered") -> dict[str, Any]:
    groups = ORDERED if rule == "ordered" else BY_SIZE
    early, late = (0, 0) if rule == "ordered" else (5, 4)
    flow = {
        "id": 0,
        "end": "client",
        "protocol": "tcp",
        "source": "10.128.15.241:3000",
        "destination": "100.69.109.138:53474",
        "segments": 10,
        "bytes": sum(SEED),
        "delivered": 10,
        "lost": 0,
        "duplicates": 0,
        "early": early,
        "late": late,
        "extent": late,
        "distance": late,
        "gaps": 0,
        "spurious": 0,
        "bytes_equal": True,
    }
    drops = {"no_route": 0, "too_big": 0}
    counters = {
        "outbound": {"entered": 10, "created": 0, "left": 10, "queued": 0, "drops": dict(drops)},
        "gso": {"batches": len(groups), "datagrams": 10, "sizes": {2: 3}},
    }
    sizes: dict[int, int] = {}
    for group in groups:
        sizes[len(group)] = sizes.get(len(group), 0) + 1
    connection = {"source": "192.0.2.2:51820", "destination": "192.0.2.1:51820"}
    return {
        "packets": 10,
        "skipped": 0,
        "unplaced": 0,
        "bytes": sum(SEED) + 520,
        "duration_ns": 708_000,
        "wall_ns": 123,
        "cipher_ns": 45,
        "error": None,
        "ends": {
            "client": {"counters": counters, "handshakes": 1},
            "gateway": {
                "counters": {"outbound": {"entered": 0, "drops": dict(drops)}},
                "handshakes": 1,
            },
        },
        "batches": [seed_batch(group) for group in groups],
        "batch_count": len(groups),
        "batch_sizes": sizes,
        "sends_saved": 10 - len(groups),
        "connections": [connection | {"batches": len(groups), "datagrams": 10, "sizes": sizes}],
        "flows": [flow],
        "points": [],
        "fates": [],
        "fate_counts": {},
        "control_messages": 3,
        "truncated": False,
    }


def seed_batch(group: Sequence[int]) -> dict[str, Any]:
    lengths = [SEED[i] + 84 for i in group]
    return {
        "time_ns": 0,
        "end": "client",
        "source": "192.0.2.2:51820",
        "destination": "192.0.2.1:51820",
        "ecn": 0,
        "segment_size": lengths[0],
        "lengths": lengths,
        "inner": [SEED[i] + 52 for i in group],
        "payload": [SEED[i] for i in group],
        "flows": [0] * len(group),
    }


def fake_replay(plan: dict[str, Any], progress: Callable[..., bool] | None = None) -> Any:
    """In place of pyfw._native.replay: whatever the capture, the seed's flow."""
    if progress is not None:
        progress(10, 100, 1)
    return seed_result(plan["rule"])
