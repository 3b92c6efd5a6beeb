"""JSON and JUnit XML."""

import json
from xml.etree import ElementTree

from pyfw.replay.export import json_text, junit_text
from pyfw.replay.runner import TaskResult
from tests.replay.results import result

RUNS = [
    TaskResult(name="pcaps/a", rule="ordered", status="passed", result=result()),
    TaskResult(
        name="pcaps/b",
        rule="by-size",
        status="failed",
        result=result("by-size"),
        differences=("batch 1 <&>\x07", "flow 0"),
    ),
    TaskResult(name="c", rule="ordered", status="broken", problem="cut at 24"),
]


def test_json_has_every_run_and_no_wall_clock() -> None:
    document = json.loads(json_text(RUNS))
    assert document["counts"] == {"broken": 1, "failed": 1, "passed": 1}
    assert [run["case"] for run in document["runs"]] == ["pcaps/a", "pcaps/b", "c"]
    assert not {"wall_ns", "cipher_ns"} & document["runs"][0]["result"].keys()
    assert document["runs"][0]["result"]["batches"] == result()["batches"]
    assert document["runs"][2]["result"] is None
    slower = TaskResult(
        name="pcaps/a", rule="ordered", status="passed", result=result() | {"wall_ns": 9}
    )
    assert json_text([slower, *RUNS[1:]]) == json_text(RUNS)


def test_junit_names_failures_and_errors() -> None:
    suite = ElementTree.fromstring(junit_text(RUNS))[0]
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("3", "1", "1")
    passed, failed, broken = suite
    assert (passed.get("classname"), passed.get("name")) == ("pcaps", "a (ordered)")
    assert len(passed) == 0
    assert failed[0].tag == "failure"
    assert failed[0].text == "batch 1 <&>\N{REPLACEMENT CHARACTER}\nflow 0"
    assert (broken[0].tag, broken[0].get("message")) == ("error", "cut at 24")
