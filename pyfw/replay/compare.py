"""Compares a result with its expectation and describes each difference in a line.

A line names the place first ("batch 3 of client (flow 0)"), then "expected …, got …".
"""

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

# Aligning two lists is quadratic; longer ones are compared by position.
_ALIGNED_MAX = 2000
_ORDER = ("segments", "bytes", "delivered", "lost", "duplicates", "early", "late")


def differences(expected: Mapping[str, Any], got: Mapping[str, Any]) -> list[str]:
    """Returns the differences: first batches and flows, then totals, ends and wire events."""
    lines: list[str] = []
    if expected["error"] != got["error"]:
        lines.append(f"error: {_pair(_error(expected['error']), _error(got['error']))}")
    lines += _numbers("outer ", expected["outer"] or {}, got["outer"] or {})
    for end in dict.fromkeys([*expected["batches"], *got["batches"]]):
        lines += _batches(end, expected["batches"].get(end, []), got["batches"].get(end, []))
    lines += _flows(expected["flows"], got["flows"])
    lines += _numbers("", expected["totals"], got["totals"])
    lines += _numbers("batches of size ", expected["batch_sizes"], got["batch_sizes"])
    for end in sorted(expected["ends"].keys() | got["ends"].keys()):
        old, new = expected["ends"].get(end, {}), got["ends"].get(end, {})
        handshakes = [{"handshakes": one.get("handshakes", 0)} for one in (old, new)]
        lines += _numbers(f"{end}: ", *handshakes)
        lines += _numbers(f"counter of {end}: ", old.get("counters", {}), new.get("counters", {}))
    for end in sorted(expected["fates"].keys() | got["fates"].keys()):
        old, new = expected["fates"].get(end, {}), got["fates"].get(end, {})
        lines += _numbers(f"wire from {end}: ", old, new)
    return lines


def batch_text(batch: Mapping[str, Any]) -> str:
    """Returns the payload lengths, [1228 834], or for a handshake or keepalive the datagram's, [(148)]."""
    pairs = zip(batch["payload"], batch["lengths"], batch["flows"], strict=False)
    lengths = [str(inner) if flow >= 0 else f"({outer})" for inner, outer, flow in pairs]
    return f"[{' '.join(lengths)}]"


def _batches(end: str, expected: Sequence[Any], got: Sequence[Any]) -> list[str]:
    lines: list[str] = []
    old_places, new_places = _places(expected), _places(got)
    for tag, low, high, got_low, got_high in _aligned(expected, got):
        if tag == "equal":
            continue
        for i in range(max(high - low, got_high - got_low)):
            old = expected[low + i] if low + i < high else None
            new = got[got_low + i] if got_low + i < got_high else None
            place = new_places[got_low + i] if old is None else old_places[low + i]
            lines.append(f"{place} of {end}{_flows_in(old or new)}: {_batch_pair(old, new)}")
    return lines


def _places(batches: Sequence[Any]) -> list[str]:
    """Numbers data batches from 1; a handshake or keepalive is named by the data batch after it."""
    places: list[str] = []
    number = 1
    for batch in batches:
        is_data = any(flow >= 0 for flow in batch["flows"])
        places.append(f"batch {number}" if is_data else f"message before batch {number}")
        number += is_data
    return places


def _aligned(expected: Sequence[Any], got: Sequence[Any]) -> list[tuple[str, int, int, int, int]]:
    """Returns the opcodes of difflib.SequenceMatcher, without the equal head and tail."""
    head = 0
    while head < min(len(expected), len(got)) and expected[head] == got[head]:
        head += 1
    tail = 0
    while tail < min(len(expected), len(got)) - head and expected[-1 - tail] == got[-1 - tail]:
        tail += 1
    old = [repr(item) for item in expected[head : len(expected) - tail]]
    new = [repr(item) for item in got[head : len(got) - tail]]
    if max(len(old), len(new)) > _ALIGNED_MAX:
        shared = min(len(old), len(new))
        codes = [("replace", i, i + 1, i, i + 1) for i in range(shared) if old[i] != new[i]]
        codes.append(("replace", shared, len(old), shared, len(new)))
    else:
        matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
        codes = list(matcher.get_opcodes())
    return [(tag, a + head, b + head, c + head, d + head) for tag, a, b, c, d in codes]


def _batch_pair(old: Mapping[str, Any] | None, new: Mapping[str, Any] | None) -> str:
    if old is None or new is None:
        return _pair(batch_text(old) if old else "none", batch_text(new) if new else "none")
    if batch_text(old) != batch_text(new):
        return _pair(batch_text(old), batch_text(new))
    # The same payloads; addresses, ECN or flows differ.
    parts = [f"{key} {_pair(old[key], new[key])}" for key in old if old[key] != new.get(key)]
    return f"{batch_text(old)}: {', '.join(parts)}"


def _flows_in(batch: Mapping[str, Any] | None) -> str:
    flows = sorted({flow for flow in (batch or {}).get("flows", ()) if flow >= 0})
    if not flows:
        return ""
    return f" (flow{'s' if len(flows) > 1 else ''} {', '.join(map(str, flows))})"


def _flows(expected: Sequence[Any], got: Sequence[Any]) -> list[str]:
    lines: list[str] = []
    for i in range(max(len(expected), len(got))):
        old = expected[i] if i < len(expected) else None
        new = got[i] if i < len(got) else None
        if old == new:
            continue
        if old is None or new is None:
            counts = [f"{one['segments']} segments" if one else "none" for one in (old, new)]
            lines.append(f"flow {i} ({flow_text(old or new or {})}): {_pair(*counts)}")
            continue
        keys = sorted(old.keys() | new.keys(), key=lambda k: (k not in _ORDER, k))
        parts = [
            f"{key} {_pair(old.get(key), new.get(key))}"
            for key in keys
            if old.get(key) != new.get(key)
        ]
        lines.append(f"flow {i} ({flow_text(old)}): {'; '.join(parts)}")
    return lines


def flow_text(flow: Mapping[str, Any]) -> str:
    """Returns "tcp 10.0.0.2:3000 > 10.0.0.1:53474"."""
    return f"{flow.get('protocol')} {flow.get('source')} > {flow.get('destination')}"


def _numbers(place: str, expected: Mapping[str, int], got: Mapping[str, int]) -> list[str]:
    # A missing counter is 0.
    return [
        f"{place}{name}: {_pair(expected.get(name, 0), got.get(name, 0))}"
        for name in dict.fromkeys([*expected, *got])
        if expected.get(name, 0) != got.get(name, 0)
    ]


def _error(error: Mapping[str, Any] | None) -> str:
    return f"{error['text']} (offset {error['offset']})" if error else "none"


def _pair(expected: object, got: object) -> str:
    return f"expected {expected}, got {got}"
