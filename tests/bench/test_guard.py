"""The guard judges counts of instructions, and only where they can be compared."""

import json
import sys
import tomllib

import pytest

from bench import guard
from bench.guard import BASELINE, Recording, compare, differences, loops, read, table, written

MACHINE = {"rustc": "rustc 1.95.0", "valgrind": "3.19.0", "processor": "avx2", "ipsec-mb": "1.3.0"}
RECORDED = {"split.of_64_kib": 10_000, "ciphers.seal.ipsec_mb_64": 5_000}


def summary(path: str, function: str, name: str, metrics: object) -> str:
    summaries = {"total": {"summary": {"Callgrind": {"Ir": {"metrics": metrics}}}}}
    profiles = [{"tool": "Callgrind", "summaries": summaries}]
    bench = {"module_path": path, "function_name": function, "id": name, "profiles": profiles}
    return json.dumps(bench)


def failing(now: dict[str, int]) -> dict[str, str]:
    """The loops that fail, and what is said of them."""
    return {row.loop: row.verdict for row in compare(RECORDED, now, judged=True) if row.fails}


def test_instructions_are_read_from_a_first_run_and_from_a_later_one() -> None:
    lines = [
        "what a bench prints",
        summary("split::stage::split", "split", "of_64_kib", {"Left": {"Int": 7}}),
        summary("ciphers::ciphers::seal", "seal", "ring", {"Both": [{"Int": 8}, {"Int": 9}]}),
    ]
    assert loops(lines) == {"split.of_64_kib": 7, "ciphers.seal.ring": 8}


def test_three_percent_more_pass_and_one_instruction_beyond_fails() -> None:
    assert failing(RECORDED | {"split.of_64_kib": 10_300}) == {}
    more = {"split.of_64_kib": "over 3 % more"}
    assert failing(RECORDED | {"split.of_64_kib": 10_301}) == more


def test_a_saving_does_not_fail_but_is_worth_recording() -> None:
    rows = compare(RECORDED, RECORDED | {"split.of_64_kib": 9_000}, judged=True)
    assert [row.fails for row in rows] == [False, False]
    assert rows[0].verdict == "fewer: worth recording"


def test_a_loop_that_only_one_side_has_fails() -> None:
    assert failing({"split.of_64_kib": 10_000, "split.of_1_kib": 5}) == {
        "split.of_1_kib": "not recorded",
        "ciphers.seal.ipsec_mb_64": "recorded, but not there",
    }


def test_a_baseline_is_read_as_it_was_written_one_line_a_loop() -> None:
    recording = Recording(MACHINE, RECORDED)
    assert read(written(recording)) == recording
    assert '"split.of_64_kib" = 10000' in written(recording).splitlines()


def test_the_baseline_of_the_project_has_every_loop_of_the_issue() -> None:
    recording = read(BASELINE.read_text())
    stages = {loop.split(".")[0] for loop in recording.loops}
    assert {"gso_egress", "split", "checksum", "route", "ciphers", "coalesce"} <= stages
    assert {"decrypt", "outbound", "inbound"} <= stages
    assert tomllib.loads(BASELINE.read_text())["environment"].keys() == recording.environment.keys()


def run(
    monkeypatch: pytest.MonkeyPatch, now: Recording, recorded: Recording | None = None
) -> str | int | None:
    """The exit code or message of a run that counts `now`."""
    monkeypatch.setattr(guard, "environment", lambda: now.environment)
    monkeypatch.setattr(guard, "counted", lambda: now.loops)
    monkeypatch.setattr("shutil.which", lambda _: "valgrind")
    monkeypatch.setattr(guard, "read", lambda _: recorded or Recording(MACHINE, RECORDED))
    monkeypatch.setattr(sys, "argv", ["guard"])
    try:
        guard.main()
    except SystemExit as end:
        return end.code
    return 0


def test_a_loop_that_grew_fails_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    end = run(monkeypatch, Recording(MACHINE, RECORDED | {"split.of_64_kib": 20_000}))
    assert isinstance(end, str) and "1 of 2 loops failed" in end


def test_another_compiler_is_told_and_nothing_is_judged(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    other = MACHINE | {"rustc": "rustc 1.99.0"}
    assert run(monkeypatch, Recording(other, {"split.of_64_kib": 20_000})) == 0
    said = capsys.readouterr().out
    assert "rustc is rustc 1.99.0, recorded with rustc 1.95.0" in said and "+100.00%" in said


def test_without_the_cipher_library_only_its_loops_go_unjudged(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    without = MACHINE | {"ipsec-mb": "none"}
    counts = {"split.of_64_kib": 10_000, "ciphers.seal.ipsec_mb_64": 3}
    assert run(monkeypatch, Recording(without, counts)) == 0
    assert "not judged: ipsec-mb is none, recorded with 1.3.0" in capsys.readouterr().out
    end = run(monkeypatch, Recording(without, counts | {"split.of_64_kib": 20_000}))
    assert isinstance(end, str)


def test_differences_say_both_sides() -> None:
    assert differences(MACHINE, MACHINE) == {}
    assert differences({}, {"libc": "glibc 2.41"}) == {
        "libc": "libc is glibc 2.41, recorded with nothing"
    }


def test_the_table_has_the_change_of_each_loop() -> None:
    text = table(compare({"a": 1000}, {"a": 1500, "b": 7}, judged=True))
    assert "+50.00% over 3 % more" in text and "not recorded" in text
