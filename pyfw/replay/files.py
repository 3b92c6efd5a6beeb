"""Results for programs: JSON and JUnit XML. Nothing of the machine or its clock is in either."""

import json
from collections import Counter
from collections.abc import Sequence
from xml.etree import ElementTree

from pyfw.replay.outcome import without_machine
from pyfw.replay.runner import Judged

# Characters that XML 1.0 cannot carry (W3C XML 1.0, production 2), less those that are text.
_NOT_XML = dict.fromkeys([*range(0x20), 0xFFFE, 0xFFFF], "\N{REPLACEMENT CHARACTER}")
for _kept in (0x09, 0x0A, 0x0D):
    del _NOT_XML[_kept]


def json_text(judged: Sequence[Judged]) -> str:
    """All runs, one a line, with the counts of their states."""
    runs = [
        json.dumps(
            {
                "case": one.name,
                "rule": one.rule,
                "status": one.status,
                "differences": list(one.differences),
                "problem": one.problem or None,
                "result": without_machine(one.result) if one.result is not None else None,
            },
            ensure_ascii=False,
        )
        for one in judged
    ]
    counts = json.dumps(dict(sorted(Counter(one.status for one in judged).items())))
    inside = ",\n".join(runs)
    return f'{{"counts": {counts}, "runs": [\n{inside}\n]}}\n'


def junit_text(judged: Sequence[Judged]) -> str:
    """One test suite, one test case a run. Virtual time has no duration worth a `time` attribute."""
    counts = Counter(one.status for one in judged)
    suite = ElementTree.Element(
        "testsuite",
        name="pyfw replay",
        tests=str(len(judged)),
        failures=str(counts["failed"]),
        errors=str(counts["broken"]),
        skipped="0",
    )
    for one in judged:
        folder, _, name = one.name.rpartition("/")
        case = ElementTree.SubElement(
            suite, "testcase", classname=_xml(folder or "replay"), name=_xml(f"{name} ({one.rule})")
        )
        if one.status in ("failed", "broken"):
            kind = "failure" if one.status == "failed" else "error"
            lines = [one.problem, *one.differences] if one.problem else list(one.differences)
            fault = ElementTree.SubElement(case, kind, message=_xml(lines[0] if lines else ""))
            fault.text = _xml("\n".join(lines))
    root = ElementTree.Element("testsuites")
    root.append(suite)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=False) + "\n"


def _xml(text: str) -> str:
    return text.translate(_NOT_XML)
