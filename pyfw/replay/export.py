"""Writes results as JSON and as JUnit XML, both independent of the machine."""

import json
from collections import Counter
from collections.abc import Sequence
from xml.etree import ElementTree

from pyfw.replay.expectation import without_timings
from pyfw.replay.runner import TaskResult

# Control characters that XML 1.0 forbids (production 2); tab and line ends are allowed.
_NOT_XML = dict.fromkeys([*range(0x20), 0xFFFE, 0xFFFF], "\N{REPLACEMENT CHARACTER}")
for _allowed in (0x09, 0x0A, 0x0D):
    del _NOT_XML[_allowed]


def json_text(results: Sequence[TaskResult]) -> str:
    """Returns all runs, one per line, and the number of runs by status."""
    runs = [
        json.dumps(
            {
                "case": one.name,
                "rule": one.rule,
                "status": one.status,
                "differences": list(one.differences),
                "problem": one.problem or None,
                "result": without_timings(one.result) if one.result is not None else None,
            },
            ensure_ascii=False,
        )
        for one in results
    ]
    counts = json.dumps(dict(sorted(Counter(one.status for one in results).items())))
    lines = ",\n".join(runs)
    return f'{{"counts": {counts}, "runs": [\n{lines}\n]}}\n'


def junit_text(results: Sequence[TaskResult]) -> str:
    """Returns one test suite with a test case per run. `time` is absent: a replay runs in virtual time."""
    counts = Counter(one.status for one in results)
    suite = ElementTree.Element(
        "testsuite",
        name="pyfw replay",
        tests=str(len(results)),
        failures=str(counts["failed"]),
        errors=str(counts["broken"]),
        skipped="0",
    )
    for one in results:
        folder, _, name = one.name.rpartition("/")
        case = ElementTree.SubElement(
            suite, "testcase", classname=_xml(folder or "replay"), name=_xml(f"{name} ({one.rule})")
        )
        if one.status in ("failed", "broken"):
            kind = "failure" if one.status == "failed" else "error"
            lines = [one.problem, *one.differences] if one.problem else list(one.differences)
            failure = ElementTree.SubElement(case, kind, message=_xml(lines[0] if lines else ""))
            failure.text = _xml("\n".join(lines))
    root = ElementTree.Element("testsuites")
    root.append(suite)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=False) + "\n"


def _xml(text: str) -> str:
    return text.translate(_NOT_XML)
