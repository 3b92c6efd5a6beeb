"""Terminal output: tables of at most 80 columns, and the progress line."""

import io
from typing import Any

import pytest

from pyfw.replay.runner import TaskResult
from pyfw.replay.terminal import (
    ProgressLine,
    bytes_text,
    count_line,
    group_lines,
    supports_colour,
    verdict,
)
from tests.replay.results import result


def done(rule: str = "ordered", status: Any = "shown", **fields: Any) -> TaskResult:
    fields = {"name": "pcaps/a", "result": result(rule)} | fields
    return TaskResult(rule=rule, status=status, **fields)


def lines(*group: TaskResult, verbose: int = 0) -> list[str]:
    return list(group_lines(group, verbose=verbose, colour=False))


def test_a_passed_case_is_one_line() -> None:
    assert lines(done(status="passed")) == ["passed  pcaps/a"]
    assert lines(done(status="passed"), verbose=-1) == []


def test_every_difference_starts_with_the_case() -> None:
    failed = done(status="failed", differences=("batch 3 of client (flow 0): x", "y"))
    expected = ["failed  pcaps/a", "pcaps/a: batch 3 of client (flow 0): x", "pcaps/a: y"]
    assert lines(failed) == expected
    assert lines(failed, verbose=-1) == expected


def test_further_differences_are_only_counted() -> None:
    failed = done(status="failed", differences=tuple(map(str, range(25))))
    assert lines(failed)[-1] == "pcaps/a: … and 5 more (-v shows all)"
    assert len([line for line in lines(failed, verbose=1) if line.startswith("pcaps/a: ")]) == 26


def test_a_capture_shows_flows_connections_and_drops() -> None:
    assert lines(done()) == [
        "pcaps/a: 10 packets, 11.2 kB, 0.000958 s",
        "  ordered: in order: 1 flow, 10 segments, 0 early, 0 late",
        "    flow                                       segs  early  late   dup  lost",
        "    0 tcp 10.128.15.241:3000 > 100.69.109.138:53474",
        "                                                 10      0     0     0     0",
        "    connection                                 batches  datagrams  saved",
        "    192.0.2.1:51820 > 192.0.2.2:51820                5         10      5",
        "    drops: none",
    ]


def test_rules_stand_side_by_side() -> None:
    shown = lines(done("by-size"), done("ordered", "passed"))
    at = shown.index("  rule        batches  saved  segments   early    late  spurious    lost")
    assert shown[at + 1 : at + 3] == [
        "  by-size           4      6        10       6       4         4       0",
        "  ordered           5      5        10       0       0         0       0",
    ]
    assert "  by-size: out of order: 1 of 1 flows, 6 early and 4 late of 10 segments" in shown


def test_drops_are_listed_with_end_and_path() -> None:
    changed = result()
    changed["ends"]["client"]["counters"]["outbound"]["drops"]["no_route"] = 3
    changed["ends"]["client"]["counters"]["handshake_drops"] = {"flood": 1}
    changed["fate_counts"] = {"client.lost": 2, "client.marked": 1}
    assert lines(done(result=changed))[-4:] == [
        "    drops: client handshake flood 1",
        "           client outbound no_route 3",
        "    wire:  from client lost 2",
        "           from client marked 1",
    ]


def test_of_many_flows_those_out_of_order_are_shown() -> None:
    many = result()
    flow = many["flows"][0]
    many["flows"] = [flow | {"id": i, "late": int(i == 40)} for i in range(50)]
    shown = lines(done(result=many))
    assert sum("tcp 10.128" in line for line in shown) == 12
    assert next(line for line in shown if "tcp 10.128" in line).strip().startswith("40 ")
    assert "    … and 38 more flows (-v shows all)" in shown
    assert sum("tcp 10.128" in line for line in lines(done(result=many), verbose=1)) == 50


def test_no_line_is_wider_than_80_columns() -> None:
    group = (done("by-size"), done("ordered", "passed", why="w" * 60))
    assert max(map(len, lines(*group, verbose=1))) <= 80


@pytest.mark.parametrize(
    ("states", "deselected", "line"),
    [
        (["passed"] * 43, 0, "43 cases: 43 passed"),
        (["passed", "failed", "broken"], 2, "3 cases: 1 passed, 1 failed, 1 broken, 2 deselected"),
        (["shown"], 0, "1 replay: 1 shown"),
        ([], 4, "0 cases: 4 deselected"),
    ],
)
def test_the_last_line_counts(states: list[Any], deselected: int, line: str) -> None:
    runs = [done(name=str(i), status=s) for i, s in enumerate(states)]
    assert count_line(runs, deselected, colour=False) == line


def test_early_segments_after_a_loss_are_in_order() -> None:
    lossy = result()
    lossy["flows"][0] |= {"early": 7, "lost": 3}
    assert verdict(lossy) == "in order, 3 lost: 7 early after gaps, 0 late of 10 segments"


def test_several_rules_count_as_replays_of_a_case() -> None:
    group = [done("by-size"), done("ordered", "passed")]
    assert count_line(group, 0, colour=False) == "2 replays of 1 case: 1 passed, 1 shown"


def test_the_verdict_is_a_sentence() -> None:
    assert verdict(result()) == "in order: 1 flow, 10 segments, 0 early, 0 late"


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_colour_needs_a_terminal_without_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert supports_colour(Screen())
    assert not supports_colour(io.StringIO())
    monkeypatch.setenv("NO_COLOR", "1")
    assert not supports_colour(Screen())


def test_progress_shows_position_rate_and_time_left() -> None:
    screen, clock = Screen(), iter([0.0, 0.1, 2.0, 2.5])
    progress = ProgressLine(screen, clock_s=lambda: next(clock))
    assert progress(1, 100, 1)
    assert screen.getvalue() == ""
    assert progress(25_000_000, 100_000_000, 1_000_000)
    assert screen.getvalue() == "\r\x1b[2K 25% 25.0 MB, 1000000 packets, 500,000/s, 6 s left"
    progress.clear()
    assert screen.getvalue().endswith("\r\x1b[2K")


def test_bytes_have_a_unit() -> None:
    assert [bytes_text(n) for n in (999, 1500, 2.5e9, 3e12)] == [
        "999 B",
        "1.5 kB",
        "2.5 GB",
        "3.0 TB",
    ]
