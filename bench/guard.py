"""`make bench-guard`: compares the instruction counts of the stages' inner loops with recorded ones.

Runs the benches of pyfw-core and pyfw-aead with gungraun under valgrind's callgrind, and prints a table.
Exits with 1 if a loop takes over 3 % more instructions than `guard.toml` has, or is not in it. The counts do
not depend on the machine's load or the path of the sources. What they do depend on, such as the compiler, is
recorded beside them: if it differs, the counts are shown with the reason and the exit status is 0.
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

# How much more than recorded a loop may take.
BOUND_PERCENT = 3
BASELINE = Path(__file__).with_name("guard.toml")
_BENCHES = (
    *("cargo", "bench", "--locked", "--quiet", "-p", "pyfw-core", "-p", "pyfw-aead"),
    *("--", "--output-format=json"),
)
# The only cipher that is not compiled in. Its loops contain this name, and do nothing if it is not installed.
_LIBRARY, _LIBRARY_LOOPS, _NONE = "ipsec-mb", "ipsec_mb", "none"

Loops = dict[str, int]


@dataclass(frozen=True)
class Recording:
    """Instruction counts of each loop, and what they depend on."""

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
        """The change as a fraction of the recorded count."""
        return self.now / self.recorded - 1 if self.recorded and self.now else None


def main() -> None:
    """Counts, then compares or records."""
    parser = argparse.ArgumentParser(prog="python -m bench.guard", description=__doc__)
    parser.add_argument("--update", action="store_true", help="record the counts in guard.toml")
    update: bool = parser.parse_args().update
    if not shutil.which("valgrind"):
        sys.exit("bench-guard: valgrind is not installed (Debian: apt install valgrind)")
    now = Recording(environment(), count_instructions())
    if now.environment[_LIBRARY] == _NONE:
        now = Recording(
            now.environment, {k: n for k, n in now.loops.items() if _LIBRARY_LOOPS not in k}
        )
    recorded = from_toml(BASELINE.read_text()) if BASELINE.exists() else Recording({}, {})
    reasons = differences(recorded.environment, now.environment)
    if update:
        print(table(compare(recorded.loops, now.loops, with_verdict=False)))
        BASELINE.write_text(to_toml(now))
        print(
            f"\nrecorded in {BASELINE.name}" + "".join(f"; {reason}" for reason in reasons.values())
        )
        return
    # Another version of the library changes only its own loops.
    other_library = reasons.pop(_LIBRARY, None)
    rows = compare(recorded.loops, now.loops, with_verdict=not reasons, other_library=other_library)
    print(table(rows))
    if reasons:
        print("\nno verdict, since the counts depend on it: " + "; ".join(reasons.values()))
    elif failed := [row for row in rows if row.fails]:
        sys.exit(
            f"\nbench-guard: {len(failed)} of {len(rows)} loops failed; if that is intended: "
            "make bench-guard UPDATE=1, and commit bench/guard.toml with the reason"
        )


def environment() -> dict[str, str]:
    """Returns what the counts depend on, beside the sources and Cargo.lock."""
    # With `-v` valgrind prints its version and the processor features it supports.
    output = _run("valgrind", "-v", "--tool=none", "true").stderr
    version, features = (
        found[1] if (found := re.search(pattern, output)) else "unknown"
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


def count_instructions() -> Loops:
    """Runs all benches. Cargo's messages go to standard error."""
    print("bench-guard: building the benches (minutes after a change)", file=sys.stderr)
    run = subprocess.run(_BENCHES, stdout=subprocess.PIPE, text=True)
    if run.returncode:
        sys.exit("bench-guard: the benches failed")
    return parse_summaries(run.stdout.splitlines())


def parse_summaries(lines: Iterable[str]) -> Loops:
    """Returns the instructions of each loop from gungraun's summaries, one JSON object per line."""
    found = {}
    for line in lines:
        if not line.startswith("{"):
            continue
        bench = json.loads(line)
        parts = (bench["module_path"].split("::")[0], bench["function_name"], bench["id"])
        (callgrind,) = (p for p in bench["profiles"] if p["tool"] == "Callgrind")
        instructions = callgrind["summaries"]["total"]["summary"]["Callgrind"]["Ir"]["metrics"]
        # After an earlier run here the summary has both, the newer one first.
        value = instructions.get("Left") or instructions["Both"][0]
        found[".".join(dict.fromkeys(parts))] = int(value["Int"])
    return found


def compare(
    recorded: Loops, now: Loops, *, with_verdict: bool, other_library: str | None = None
) -> list[Row]:
    """Returns a row for each loop. `other_library`: why the library's loops get no verdict."""
    rows = []
    for loop in now | recorded:
        counts = recorded.get(loop), now.get(loop)
        if _LIBRARY_LOOPS in loop and other_library:
            rows.append(Row(loop, *counts, "no verdict: " + other_library))
        elif with_verdict:
            rows.append(Row(loop, *counts, *_verdict(*counts)))
        else:
            rows.append(Row(loop, *counts))
    return rows


def _verdict(recorded: int | None, now: int | None) -> tuple[str, bool]:
    """Returns the verdict on a loop, and whether it fails."""
    if recorded is None:
        return "not recorded", True
    if now is None:
        return "recorded, but missing", True
    if now * 100 > recorded * (100 + BOUND_PERCENT):
        return f"over {BOUND_PERCENT} % more", True
    fewer = now * 100 < recorded * (100 - BOUND_PERCENT)
    return "fewer: record them" if fewer else "", False


def differences(recorded: Mapping[str, str], now: Mapping[str, str]) -> dict[str, str]:
    """Returns a message for each value that differs from the recorded one."""
    return {
        name: f"{name} is {value}, recorded with {recorded.get(name, 'nothing')}"
        for name, value in now.items()
        if recorded.get(name) != value
    }


def table(rows: Iterable[Row]) -> str:
    """Formats the rows as text."""
    lines = [f"{'loop':<52} {'recorded':>10} {'now':>10} {'change':>8}"]
    for row in rows:
        change = "" if row.change is None else f"{row.change:+8.2%}"
        recorded, now = (f"{n:,}" if n else "-" for n in (row.recorded, row.now))
        lines.append(f"{row.loop:<52} {recorded:>10} {now:>10} {change:>8} {row.verdict}".rstrip())
    return "\n".join(lines)


def from_toml(text: str) -> Recording:
    """Parses guard.toml."""
    document = tomllib.loads(text)
    return Recording(document["environment"], document["instructions"])


def to_toml(recording: Recording) -> str:
    """Formats guard.toml, one line per loop."""
    lines = ["# Instruction counts that `make bench-guard` compares with; UPDATE=1 records them."]
    lines += ["", "[environment]"]
    lines += [f"{name} = {json.dumps(value)}" for name, value in recording.environment.items()]
    lines += ["", "[instructions]"]
    lines += [f"{json.dumps(loop)} = {number}" for loop, number in sorted(recording.loops.items())]
    return "\n".join(lines) + "\n"


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=True)


if __name__ == "__main__":
    main()
