"""The stub's documentation of the extension's structs is what `help` shows."""

import ast
from pathlib import Path

import pytest

from pyfw import _native
from pyfw.stage import Stage
from pyfw.stages.stage_set import StageSet

_STUB = ast.parse((Path(_native.__file__).parent / "_native.pyi").read_text())


def documented(report: ast.ClassDef) -> dict[str, str]:
    """The text below each attribute of a class."""
    found = {}
    for attribute, text in zip(report.body, report.body[1:], strict=False):
        if isinstance(attribute, ast.AnnAssign) and isinstance(text, ast.Expr):
            assert isinstance(attribute.target, ast.Name)
            found[attribute.target.id] = " ".join(ast.literal_eval(text.value).split())
    return found


REPORTS = [
    node
    for node in _STUB.body
    if isinstance(node, ast.ClassDef) and [ast.unparse(base) for base in node.bases] == ["_Report"]
]


@pytest.mark.parametrize("report", REPORTS, ids=lambda report: report.name)
def test_fields_are_documented_as_in_the_stub(report: ast.ClassDef) -> None:
    at_run_time = getattr(_native, report.name)
    fields = [name for name in vars(at_run_time) if not name.startswith("_") and name != "to_dict"]
    docs = {name: " ".join(getattr(at_run_time, name).__doc__.split()) for name in fields}
    assert docs == documented(report)
    assert at_run_time.__doc__ == ast.get_docstring(report)


class Counting(Stage):
    pass


def test_to_dict_covers_nested_structs() -> None:
    stages = StageSet([Counting()])
    stages.start()
    counters = stages.counters()
    stages.stop()
    assert counters.to_dict()["stages"]["Counting"] == counters.stages["Counting"].to_dict()
    assert counters.stages["Counting"].to_dict()["drops"] == {}
    assert repr(counters.stages["Counting"]).startswith("StageCounters(calls=0, failures=0, ")


def test_structs_are_read_only() -> None:
    with pytest.raises(AttributeError):
        _native.StageChain().counters().entries = 1  # type: ignore[misc]
