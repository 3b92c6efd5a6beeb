"""The guard compares instruction counts, if they are comparable."""

import json
import sys
import tomllib

import pytest

from bench import guard
from bench.guard import (
    BASELINE,
    Recording,
    compare,
    differences,
    from_toml,
    parse_summaries,
    table,
    to_toml,
)

MACHINE = {"rustc": "rustc 1.95.0", "valgrind": "3.19.0", "processor": "avx2", "ipsec-mb": "1.3.0"}
RECORDED = {"split.of_64_kib": 10_000, "ciphers.seal.ipsec_mb_64": 5_000}


def summary(path: str, function: str, name: str, metrics: object) -> str:
    summaries = {"total": {"summary": {"Callgrind": {"Ir": {"metrics": metrics}}}}}
    profiles = [{"tool": "Callgrind", "summaries": summaries}]
    bench = {"module_path": path, "function_name": function, "id": name, "profiles": profiles}
    return json.dumps(bench)


def failing(now: dict[str, int]) -> dict[str, str]:
    """Returns the loops that fail with their verdicts."""
    return {row.loop: row.verdict for row in compare(RECORDED, now, with_verdict=True) if row.fails}


def test_counts_are_read_from_a_first_and_a_later_run() -> None:
    lines = [
        "output of a bench",
        summary("split::stage::split", "split", "of_64_kib", {"Left": {"Int": 7}}),
        summary("ciphers::ciphers::seal", "seal", "ring", {"Both": [{"Int": 8}, {"Int": 9}]}),
    ]
    assert parse_summaries(lines) == {"split.of_64_kib": 7, "ciphers.seal.ring": 8}


def test_more_than_three_percent_fails() -> None:
    assert failing(RECORDED | {"split.of_64_kib": 10_300}) == {}
    more = {"split.of_64_kib": "over 3 % more"}
    assert failing(RECORDED | {"split.of_64_kib": 10_301}) == more


def test_fewer_instructions_pass_and_should_be_recorded() -> None:
    rows = compare(RECORDED, RECORDED | {"split.of_64_kib": 9_000}, with_verdict=True)
    assert [row.fails for row in rows] == [False, False]
    assert rows[0].verdict == "fewer: record them"


def test_loop_on_one_side_only_fails() -> None:
    assert failing({"split.of_64_kib": 10_000, "split.of_1_kib": 5}) == {
        "split.of_1_kib": "not recorded",
        "ciphers.seal.ipsec_mb_64": "recorded, but missing",
    }


def test_baseline_survives_writing_and_reading() -> None:
    recording = Recording(MACHINE, RECORDED)
    assert from_toml(to_toml(recording)) == recording
    assert '"split.of_64_kib" = 10000' in to_toml(recording).splitlines()


def test_committed_baseline_has_every_stage() -> None:
    recording = from_toml(BASELINE.read_text())
    stages = {loop.split(".")[0] for loop in recording.loops}
    assert {"gso_egress", "split", "checksum", "route", "ciphers", "coalesce"} <= stages
    assert {"decrypt", "outbound", "inbound"} <= stages
    assert tomllib.loads(BASELINE.read_text())["environment"].keys() == recording.environment.keys()


def run(
    monkeypatch: pytest.MonkeyPatch, now: Recording, recorded: Recording | None = None
) -> str | int | None:
    """Returns the exit status or message of a run that counts `now`."""
    monkeypatch.setattr(guard, "environment", lambda: now.environment)
    monkeypatch.setattr(guard, "count_instructions", lambda: now.loops)
    monkeypatch.setattr("shutil.which", lambda _: "valgrind")
    monkeypatch.setattr(guard, "from_toml", lambda _: recorded or Recording(MACHINE, RECORDED))
    monkeypatch.setattr(sys, "argv", ["guard"])
    try:
        guard.main()
    except SystemExit as end:
        return end.code
    return 0


def test_grown_loop_fails_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    end = run(monkeypatch, Recording(MACHINE, RECORDED | {"split.of_64_kib": 20_000}))
    assert isinstance(end, str) and "1 of 2 loops failed" in end


def test_another_compiler_gives_no_verdict(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    other = MACHINE | {"rustc": "rustc 1.99.0"}
    assert run(monkeypatch, Recording(other, {"split.of_64_kib": 20_000})) == 0
    output = capsys.readouterr().out
    assert "rustc is rustc 1.99.0, recorded with rustc 1.95.0" in output and "+100.00%" in output


def test_missing_cipher_library_affects_only_its_loops(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    without = MACHINE | {"ipsec-mb": "none"}
    counts = {"split.of_64_kib": 10_000, "ciphers.seal.ipsec_mb_64": 3}
    assert run(monkeypatch, Recording(without, counts)) == 0
    assert "no verdict: ipsec-mb is none, recorded with 1.3.0" in capsys.readouterr().out
    end = run(monkeypatch, Recording(without, counts | {"split.of_64_kib": 20_000}))
    assert isinstance(end, str)


def test_differences_name_both_values() -> None:
    assert differences(MACHINE, MACHINE) == {}
    assert differences({}, {"libc": "glibc 2.41"}) == {
        "libc": "libc is glibc 2.41, recorded with nothing"
    }


def test_table_has_the_change_of_each_loop() -> None:
    text = table(compare({"a": 1000}, {"a": 1500, "b": 7}, with_verdict=True))
    assert "+50.00% over 3 % more" in text and "not recorded" in text
