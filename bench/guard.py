"""`make bench-guard`: how many instructions the stages' inner loops take, against what was recorded.

In: the benches of pyfw-core and pyfw-aead, run by gungraun under valgrind's callgrind, and `guard.toml`.
Out: a table, and 1 where a loop takes over 3 % more than recorded, or was not recorded; `--update`
records anew. Counts are the same whatever else the machine does, and wherever the sources lie; what they
do depend on is recorded beside them. Where that differs nothing is judged: figures and the reason are
shown, and the end is 0.
"""

import argparse
import ctypes
import json
import platform
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

# A loop may take so much more than recorded.
BOUND_PERCENT = 3
BASELINE = Path(__file__).with_name("guard.toml")
_BENCHES = (
    *("cargo", "bench", "--locked", "--quiet", "-p", "pyfw-core", "-p", "pyfw-aead"),
    *("--", "--output-format=json"),
)
# The one cipher that is not compiled in, and what its loops are called: empty where it is not installed.
_LIBRARY, _OF_LIBRARY, _NONE = "ipsec-mb", "ipsec_mb", "none"

Loops = dict[str, int]


@dataclass(frozen=True)
class Recording:
    """Instructions of each loop, and what they depend on."""

    environment: dict[str, str]
    loops: Loops


@dataclass(frozen=True)
class Row:
    """One loop of the table."""

    loop: str
    recorded: int | None
    now: int | None
    verdict: str = ""
    fails: bool = False

    @property
    def change(self) -> float | None:
        """As a fraction of what was recorded."""
        return self.now / self.recorded - 1 if self.recorded and self.now else None


def main() -> None:
    """Counts, then judges or records."""
    parser = argparse.ArgumentParser(prog="python -m bench.guard", description=__doc__)
    parser.add_argument("--update", action="store_true", help="record what is counted now")
    update: bool = parser.parse_args().update
    if not shutil.which("valgrind"):
        sys.exit("bench-guard: there is no valgrind here (Debian: apt install valgrind)")
    now = Recording(environment(), counted())
    if now.environment[_LIBRARY] == _NONE:
        now = Recording(
            now.environment, {k: n for k, n in now.loops.items() if _OF_LIBRARY not in k}
        )
    recorded = read(BASELINE.read_text()) if BASELINE.exists() else Recording({}, {})
    reasons = differences(recorded.environment, now.environment)
    if update:
        print(table(compare(recorded.loops, now.loops, judged=False)))
        BASELINE.write_text(written(now))
        print(
            f"\nrecorded in {BASELINE.name}" + "".join(f"; {reason}" for reason in reasons.values())
        )
        return
    # Another library changes its own loops alone.
    other = reasons.pop(_LIBRARY, None)
    rows = compare(recorded.loops, now.loops, judged=not reasons, library=other)
    print(table(rows))
    if reasons:
        print("\nnot judged, because counts depend on it: " + "; ".join(reasons.values()))
    elif failed := [row for row in rows if row.fails]:
        sys.exit(
            f"\nbench-guard: {len(failed)} of {len(rows)} loops failed; where that is meant: "
            "make bench-guard UPDATE=1, and commit bench/guard.toml with the reason"
        )


def environment() -> dict[str, str]:
    """What counts depend on, beside the sources and Cargo.lock."""
    # `-v` has valgrind say what it is, and which of the processor's features it can execute.
    said = _run("valgrind", "-v", "--tool=none", "true").stderr
    version, features = (
        found[1] if (found := re.search(pattern, said)) else "unknown"
        for pattern in (r"Using Valgrind-([\d.]+)", r"Arch and hwcaps: (.*)")
    )
    return {
        "rustc": _run("rustc", "--version").stdout.strip(),
        "valgrind": version,
        "processor": features,
        "libc": " ".join(platform.libc_ver()),
        _LIBRARY: _ipsec_mb(),
    }


def _ipsec_mb() -> str:
    try:
        number: int = ctypes.CDLL("libIPSec_MB.so.1").imb_get_version()
    except OSError:
        return _NONE
    return f"{number >> 16}.{number >> 8 & 255}.{number & 255}"


def counted() -> Loops:
    """Runs all benches; what cargo says goes where our own errors go."""
    print("bench-guard: the benches, built as wheels are (minutes after a change)", file=sys.stderr)
    run = subprocess.run(_BENCHES, stdout=subprocess.PIPE, text=True)
    if run.returncode:
        sys.exit("bench-guard: the benches failed")
    return loops(run.stdout.splitlines())


def loops(lines: Iterable[str]) -> Loops:
    """The instructions of each loop, from gungraun's summaries, one JSON object a line."""
    found = {}
    for line in lines:
        if not line.startswith("{"):
            continue
        bench = json.loads(line)
        words = (bench["module_path"].split("::")[0], bench["function_name"], bench["id"])
        (callgrind,) = (p for p in bench["profiles"] if p["tool"] == "Callgrind")
        instructions = callgrind["summaries"]["total"]["summary"]["Callgrind"]["Ir"]["metrics"]
        # Where it ran here before, both runs stand there, the newer one first.
        value = instructions.get("Left") or instructions["Both"][0]
        found[".".join(dict.fromkeys(words))] = int(value["Int"])
    return found


def compare(recorded: Loops, now: Loops, *, judged: bool, library: str | None = None) -> list[Row]:
    """A row for each loop. `library`: why the library's loops are not judged."""
    rows = []
    for loop in now | recorded:
        counts = recorded.get(loop), now.get(loop)
        if _OF_LIBRARY in loop and library:
            rows.append(Row(loop, *counts, "not judged: " + library))
        else:
            rows.append(Row(loop, *counts, *_verdict(*counts)) if judged else Row(loop, *counts))
    return rows


def _verdict(recorded: int | None, now: int | None) -> tuple[str, bool]:
    """What is said of a loop, and whether it fails."""
    if recorded is None:
        return "not recorded", True
    if now is None:
        return "recorded, but not there", True
    if now * 100 > recorded * (100 + BOUND_PERCENT):
        return f"over {BOUND_PERCENT} % more", True
    fewer = now * 100 < recorded * (100 - BOUND_PERCENT)
    return "fewer: worth recording" if fewer else "", False


def differences(recorded: Mapping[str, str], now: Mapping[str, str]) -> dict[str, str]:
    """What is not as it was recorded, said in words."""
    return {
        name: f"{name} is {value}, recorded with {recorded.get(name, 'nothing')}"
        for name, value in now.items()
        if recorded.get(name) != value
    }


def table(rows: Iterable[Row]) -> str:
    """The rows as text."""
    lines = [f"{'loop':<52} {'recorded':>10} {'now':>10} {'change':>8}"]
    for row in rows:
        change = "" if row.change is None else f"{row.change:+8.2%}"
        recorded, now = (f"{n:,}" if n else "-" for n in (row.recorded, row.now))
        lines.append(f"{row.loop:<52} {recorded:>10} {now:>10} {change:>8} {row.verdict}".rstrip())
    return "\n".join(lines)


def read(text: str) -> Recording:
    """A baseline."""
    document = tomllib.loads(text)
    return Recording(document["environment"], document["instructions"])


def written(recording: Recording) -> str:
    """The baseline as TOML, one line a loop."""
    lines = ["# What `make bench-guard` holds the loops to; `make bench-guard UPDATE=1` writes it."]
    lines += ["", "[environment]"]
    lines += [f"{name} = {json.dumps(value)}" for name, value in recording.environment.items()]
    lines += ["", "[instructions]"]
    lines += [f"{json.dumps(loop)} = {number}" for loop, number in sorted(recording.loops.items())]
    return "\n".join(lines) + "\n"


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=True)


if __name__ == "__main__":
    main()
