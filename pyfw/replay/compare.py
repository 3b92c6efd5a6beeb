"""Two outcomes in, sentences out: which part differs, what was expected, what came. None: the same.

A sentence names the place first ("batch 3 of client (flow 0)"), then "expected …, got …".
"""

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

# Pairing two lists is quadratic; beyond this they are compared position by position.
_ALIGNED_MAX = 2000
_ORDER = ("segments", "bytes", "delivered", "lost", "duplicates", "early", "late")


def differences(expected: Mapping[str, Any], got: Mapping[str, Any]) -> list[str]:
    """What differs, most telling first: batches, flows, then totals, ends and fates."""
    found: list[str] = []
    if expected["error"] != got["error"]:
        found.append(f"error: {_pair(_error(expected['error']), _error(got['error']))}")
    found += _numbers("outer ", expected["outer"] or {}, got["outer"] or {})
    ends = dict.fromkeys([*expected["batches"], *got["batches"]])
    for end in ends:
        wanted, came = expected["batches"].get(end, []), got["batches"].get(end, [])
        found += _batches(end, wanted, came)
    found += _flows(expected["flows"], got["flows"])
    found += _numbers("", expected["totals"], got["totals"])
    found += _numbers("batches of size ", expected["batch_sizes"], got["batch_sizes"])
    for end in sorted(expected["ends"].keys() | got["ends"].keys()):
        wanted_end, came_end = expected["ends"].get(end, {}), got["ends"].get(end, {})
        hands = {"handshakes": wanted_end.get("handshakes", 0)}
        found += _numbers(f"{end}: ", hands, {"handshakes": came_end.get("handshakes", 0)})
        found += _numbers(
            f"counter of {end}: ", wanted_end.get("counters", {}), came_end.get("counters", {})
        )
    for end in sorted(expected["fates"].keys() | got["fates"].keys()):
        found += _numbers(
            f"wire from {end}: ", expected["fates"].get(end, {}), got["fates"].get(end, {})
        )
    return found


def shown(batch: Mapping[str, Any]) -> str:
    """A batch as one reads it: [1228 834]; handshakes and keepalives by their datagrams' length."""
    pairs = zip(batch["payload"], batch["lengths"], batch["flows"], strict=False)
    lengths = [str(inner) if flow >= 0 else f"({outer})" for inner, outer, flow in pairs]
    return f"[{' '.join(lengths)}]"


def _batches(end: str, expected: Sequence[Any], got: Sequence[Any]) -> list[str]:
    found: list[str] = []
    for tag, low, high, came_low, came_high in _opcodes(expected, got):
        if tag == "equal":
            continue
        wanted, came = expected[low:high], got[came_low:came_high]
        for i in range(max(len(wanted), len(came))):
            # Numbers are those of the expectation, as long as it has one there.
            place = _place(expected, low + i) if i < len(wanted) else _place(got, came_low + i)
            old = wanted[i] if i < len(wanted) else None
            new = came[i] if i < len(came) else None
            found.append(f"{place} of {end}{_flows_in(old or new)}: {_batch_pair(old, new)}")
    return found


def _place(batches: Sequence[Any], index: int) -> str:
    """Batches of packets are numbered from 1; handshakes and keepalives stand before one of them."""
    number = sum(_has_packets(batch) for batch in batches[:index]) + 1
    return f"{'' if _has_packets(batches[index]) else 'message before '}batch {number}"


def _has_packets(batch: Mapping[str, Any]) -> bool:
    return any(flow >= 0 for flow in batch["flows"])


def _opcodes(expected: Sequence[Any], got: Sequence[Any]) -> list[tuple[str, int, int, int, int]]:
    head = 0
    while head < min(len(expected), len(got)) and expected[head] == got[head]:
        head += 1
    tail = 0
    while tail < min(len(expected), len(got)) - head and expected[-1 - tail] == got[-1 - tail]:
        tail += 1
    wanted = [repr(item) for item in expected[head : len(expected) - tail]]
    came = [repr(item) for item in got[head : len(got) - tail]]
    if max(len(wanted), len(came)) > _ALIGNED_MAX:
        shared = min(len(wanted), len(came))
        codes = [("replace", i, i + 1, i, i + 1) for i in range(shared) if wanted[i] != came[i]]
        codes.append(("replace", shared, len(wanted), shared, len(came)))
    else:
        matcher = difflib.SequenceMatcher(None, wanted, came, autojunk=False)
        codes = list(matcher.get_opcodes())
    return [(tag, a + head, b + head, c + head, d + head) for tag, a, b, c, d in codes]


def _batch_pair(old: Mapping[str, Any] | None, new: Mapping[str, Any] | None) -> str:
    if old is None or new is None:
        return _pair(shown(old) if old else "none", shown(new) if new else "none")
    if shown(old) != shown(new):
        return _pair(shown(old), shown(new))
    # Same lengths inside: then where it went, or how it was marked, or whose it was.
    parts = [f"{key} {_pair(old[key], new[key])}" for key in old if old[key] != new.get(key)]
    return f"{shown(old)}: {', '.join(parts)}"


def _flows_in(batch: Mapping[str, Any] | None) -> str:
    flows = sorted({flow for flow in (batch or {}).get("flows", ()) if flow >= 0})
    if not flows:
        return ""
    return f" (flow{'s' if len(flows) > 1 else ''} {', '.join(map(str, flows))})"


def _flows(expected: Sequence[Any], got: Sequence[Any]) -> list[str]:
    found: list[str] = []
    for i in range(max(len(expected), len(got))):
        old = expected[i] if i < len(expected) else None
        new = got[i] if i < len(got) else None
        if old == new:
            continue
        if old is None or new is None:
            place = f"flow {i} ({flow_text(old or new or {})})"
            found.append(
                f"{place}: {_pair('none' if old is None else 'it', 'none' if new is None else 'it')}"
            )
            continue
        keys = sorted(old.keys() | new.keys(), key=lambda k: (k not in _ORDER, k))
        parts = [
            f"{key} {_pair(old.get(key), new.get(key))}"
            for key in keys
            if old.get(key) != new.get(key)
        ]
        found.append(f"flow {i} ({flow_text(old)}): {'; '.join(parts)}")
    return found


def flow_text(flow: Mapping[str, Any]) -> str:
    """tcp 10.0.0.2:3000 > 10.0.0.1:53474."""
    return f"{flow.get('protocol')} {flow.get('source')} > {flow.get('destination')}"


def _numbers(place: str, expected: Mapping[str, int], got: Mapping[str, int]) -> list[str]:
    # A counter that is not there is 0.
    return [
        f"{place}{name}: {_pair(expected.get(name, 0), got.get(name, 0))}"
        for name in dict.fromkeys([*expected, *got])
        if expected.get(name, 0) != got.get(name, 0)
    ]


def _error(error: Mapping[str, Any] | None) -> str:
    return f"{error['text']} (offset {error['offset']})" if error else "none"


def _pair(expected: object, got: object) -> str:
    return f"expected {expected}, got {got}"
