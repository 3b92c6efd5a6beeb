"""What must come out of a case, as a document that people review: one line a batch, one a flow.

Nothing in it depends on the machine: no wall clock, no path. Counters that are 0 are left out, so that
a new counter changes no case; on both sides of a comparison a missing counter is 0.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

_BATCH = {"from", "to", "ecn", "size", "lengths", "payload", "flows"}
_TOTALS = ("packets", "skipped", "unplaced", "bytes", "batch_count", "sends_saved")
# Nanoseconds of this machine, and the plots' points: of use in reports, not in expectations.
_MACHINE = ("wall_ns", "cipher_ns")


def outcome_of(result: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a result that is expected again."""
    return {
        "totals": {name: result[name] for name in _TOTALS}
        | {"duration_us": result["duration_ns"] // 1000},
        "error": result["error"],
        "outer": flat(result["outer"]) if result.get("outer") else None,
        "batch_sizes": {str(k): v for k, v in sorted(_whole_keys(result["batch_sizes"]).items())},
        "ends": {name: _end(end) for name, end in sorted(result["ends"].items())},
        "fates": _fates(result["fate_counts"]),
        "flows": [dict(flow) for flow in result["flows"]],
        "batches": _batches(result),
    }


def encode(outcome: Mapping[str, Any]) -> str:
    """The text of expected.json."""
    parts: list[str] = []
    for key, value in outcome.items():
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
    """Reads it back. Raises ValueError where it is not a document of this kind."""
    document = json.loads(text)
    wanted = {"totals", "error", "outer", "batch_sizes", "ends", "fates", "flows", "batches"}
    if not isinstance(document, dict) or not wanted <= document.keys():
        raise ValueError("not an expected outcome; write it with --update")
    batches = [batch for sent in document["batches"].values() for batch in sent]
    if not all(batch.keys() >= _BATCH for batch in batches):
        raise ValueError("batches of another version's form; write it anew with --update")
    return document


def without_machine(result: Mapping[str, Any]) -> dict[str, Any]:
    """A result less what depends on the machine: the same bytes every time."""
    kept = {key: value for key, value in result.items() if key not in _MACHINE}
    kept["batch_sizes"] = dict(sorted(_whole_keys(result["batch_sizes"]).items()))
    return kept


def _whole_keys(sizes: Mapping[Any, int]) -> dict[int, int]:
    return {int(size): count for size, count in sizes.items()}


def _end(end: Mapping[str, Any]) -> dict[str, Any]:
    stages = {"stages": end.get("stages", {})}
    return {"handshakes": end["handshakes"], "counters": flat(end["counters"]) | flat(stages)}


def flat(counters: Mapping[str, Any], prefix: str = "") -> dict[str, int]:
    """{"outbound.drops.no_route": 3}: sorted by name, without zeros; batch sizes stand elsewhere."""
    found: dict[str, int] = {}
    for name, value in counters.items():
        if isinstance(value, Mapping):
            if name != "sizes":
                found |= flat(value, f"{prefix}{name}.")
        elif value:
            found[f"{prefix}{name}"] = value
    return dict(sorted(found.items()))


def _fates(counts: dict[str, int]) -> dict[str, dict[str, int]]:
    fates: dict[str, dict[str, int]] = {}
    for name, count in counts.items():
        end, _, what = name.rpartition(".")
        fates.setdefault(end, {})[what] = count
    return fates


def _batches(result: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    by_end: dict[str, list[dict[str, Any]]] = {name: [] for name in sorted(result["ends"])}
    for batch in result["batches"]:
        kept = {
            "from": batch["source"],
            "to": batch["destination"],
            "ecn": batch["ecn"],
            "size": batch["segment_size"],
            "lengths": list(batch["lengths"]),
            "payload": list(batch["payload"]),
            "flows": list(batch["flows"]),
        }
        by_end.setdefault(batch["end"], []).append(kept)
    return by_end


def _line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _lines(items: Iterable[Any], indent: int) -> str:
    lines = [" " * indent + _line(item) for item in items]
    return "[\n" + ",\n".join(lines) + "\n" + " " * (indent - 2) + "]" if lines else "[]"


def _indented(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2).replace("\n", "\n  ")
