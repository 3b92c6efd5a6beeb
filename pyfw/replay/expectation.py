"""The expected result of a case, `expected.json`: a document for review, with a line per batch and per flow.

It does not depend on the machine: no wall clock, no paths. Counters that are 0 are left out, and a missing
counter compares as 0, so a new counter changes no case.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

_BATCH = {"from", "to", "ecn", "size", "lengths", "payload", "flows"}
_TOTALS = ("packets", "skipped", "unplaced", "bytes", "batch_count", "sends_saved")
# Wall-clock times.
_MACHINE = ("wall_ns", "cipher_ns")


def expectation_from(result: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the part of a result that must come out again."""
    return {
        "totals": {name: result[name] for name in _TOTALS}
        | {"duration_us": result["duration_ns"] // 1000},
        "error": result["error"],
        "outer": flatten(result["outer"]) if result.get("outer") else None,
        "batch_sizes": {str(k): v for k, v in sorted(_int_keys(result["batch_sizes"]).items())},
        "ends": {name: _end(end) for name, end in sorted(result["ends"].items())},
        "fates": _fates(result["fate_counts"]),
        "flows": [dict(flow) for flow in result["flows"]],
        "batches": _batches(result),
    }


def encode(expectation: Mapping[str, Any]) -> str:
    """Returns the text of expected.json."""
    parts: list[str] = []
    for key, value in expectation.items():
        if key == "flows":
            parts.append(f'  "flows": {_lines(value, 4)}')
        elif key == "batches":
            ends = [f'    "{end}": {_lines(batches, 6)}' for end, batches in value.items()]
            inside = ",\n".join(ends)
            parts.append(f'  "batches": {{\n{inside}\n  }}' if ends else '  "batches": {}')
        elif key in ("ends", "fates"):
            parts.append(f'  "{key}": {_indented(value)}')
        else:
            parts.append(f'  "{key}": {_line(value)}')
    return "{\n" + ",\n".join(parts) + "\n}\n"


def decode(text: str) -> dict[str, Any]:
    """Parses the text of expected.json. Raises ValueError."""
    document = json.loads(text)
    keys = {"totals", "error", "outer", "batch_sizes", "ends", "fates", "flows", "batches"}
    if not isinstance(document, dict) or not keys <= document.keys():
        raise ValueError("not an expectation; write it again with --update")
    batches = [batch for sent in document["batches"].values() for batch in sent]
    if not all(batch.keys() >= _BATCH for batch in batches):
        raise ValueError("written by another version; write it again with --update")
    return document


def without_timings(result: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a result without what depends on the machine."""
    reproducible = {key: value for key, value in result.items() if key not in _MACHINE}
    reproducible["batch_sizes"] = dict(sorted(_int_keys(result["batch_sizes"]).items()))
    return reproducible


def _int_keys(sizes: Mapping[Any, int]) -> dict[int, int]:
    return {int(size): count for size, count in sizes.items()}


def _end(end: Mapping[str, Any]) -> dict[str, Any]:
    stages = {"stages": end.get("stages", {})}
    return {"handshakes": end["handshakes"], "counters": flatten(end["counters"]) | flatten(stages)}


def flatten(counters: Mapping[str, Any], prefix: str = "") -> dict[str, int]:
    """Returns {"outbound.drops.no_route": 3}: sorted by name, without zeros and without batch sizes."""
    flat: dict[str, int] = {}
    for name, value in counters.items():
        if isinstance(value, Mapping):
            if name != "sizes":
                flat |= flatten(value, f"{prefix}{name}.")
        elif value:
            flat[f"{prefix}{name}"] = value
    return dict(sorted(flat.items()))


def _fates(counts: dict[str, int]) -> dict[str, dict[str, int]]:
    fates: dict[str, dict[str, int]] = {}
    for name, count in counts.items():
        end, _, kind = name.rpartition(".")
        fates.setdefault(end, {})[kind] = count
    return fates


def _batches(result: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    by_end: dict[str, list[dict[str, Any]]] = {name: [] for name in sorted(result["ends"])}
    for batch in result["batches"]:
        line = {
            "from": batch["source"],
            "to": batch["destination"],
            "ecn": batch["ecn"],
            "size": batch["segment_size"],
            "lengths": list(batch["lengths"]),
            "payload": list(batch["payload"]),
            "flows": list(batch["flows"]),
        }
        by_end.setdefault(batch["end"], []).append(line)
    return by_end


def _line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _lines(items: Iterable[Any], indent: int) -> str:
    lines = [" " * indent + _line(item) for item in items]
    return "[\n" + ",\n".join(lines) + "\n" + " " * (indent - 2) + "]" if lines else "[]"


def _indented(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2).replace("\n", "\n  ")
