"""What a replay prints: lines at 80 columns, and a progress line where someone looks at it."""

import io
from typing import Any

import pytest

from pyfw.replay.runner import Judged
from pyfw.replay.terminal import ProgressLine, amount_of, colours, count_line, group_lines, verdict
from tests.replay.fake_result import seed_result


def judged(rule: str = "ordered", status: Any = "shown", **fields: Any) -> Judged:
    result = fields.pop("result", seed_result(rule))
    name = fields.pop("name", "pcaps/a")
    return Judged(name=name, rule=rule, status=status, result=result, **fields)


def lines(*group: Judged, verbose: int = 0) -> list[str]:
    return list(group_lines(group, verbose=verbose, colour=False))


def test_a_case_that_passed_is_one_line() -> None:
    assert lines(judged(status="passed")) == ["passed  pcaps/a"]
    assert lines(judged(status="passed"), verbose=-1) == []


def test_a_case_that_failed_names_itself_before_every_difference() -> None:
    failed = judged(status="failed", differences=("batch 3 of client (flow 0): x", "y"))
    wanted = ["failed  pcaps/a", "pcaps/a: batch 3 of client (flow 0): x", "pcaps/a: y"]
    assert lines(failed) == wanted
    assert lines(failed, verbose=-1) == wanted


def test_many_differences_are_cut_and_counted() -> None:
    failed = judged(status="failed", differences=tuple(map(str, range(25))))
    assert lines(failed)[-1] == "pcaps/a: … and 5 more (-v shows all)"
    assert len([line for line in lines(failed, verbose=1) if line.startswith("pcaps/a: ")]) == 26


def test_a_capture_shows_flows_connections_and_drops() -> None:
    assert lines(judged()) == [
        "pcaps/a: 10 packets, 11.2 kB, 0.000708 s",
        "  ordered: in order: 1 flow, 10 segments, 0 early, 0 late",
        "    flow                                       segs  early  late   dup  lost",
        "    0 tcp 10.128.15.241:3000 > 100.69.109.138:53474",
        "                                                 10      0     0     0     0",
        "    connection                                 batches  datagrams  saved",
        "    192.0.2.2:51820 > 192.0.2.1:51820                5         10      5",
        "    drops: none in the tunnel",
    ]


def test_rules_stand_side_by_side() -> None:
    shown = lines(judged("by-size"), judged("ordered", "passed"))
    at = shown.index("  rule        batches  saved  segments   early    late  spurious    lost")
    assert shown[at + 1 : at + 3] == [
        "  by-size           4      6        10       5       4         0       0",
        "  ordered           5      5        10       0       0         0       0",
    ]
    assert "  by-size: out of order: 1 of 1 flows, 5 early and 4 late of 10 segments" in shown


def test_drops_are_named_with_their_end_and_path() -> None:
    result = seed_result()
    result["ends"]["client"]["counters"]["outbound"]["drops"]["no_route"] = 3
    result["ends"]["client"]["counters"]["handshake_drops"] = {"flood": 1}
    result["fate_counts"] = {"client.lost": 2}
    assert lines(judged(result=result))[-3:] == [
        "    drops: client handshake flood 1",
        "           client outbound no_route 3",
        "           wire from client lost 2",
    ]


def test_of_many_flows_the_troubled_ones_are_shown() -> None:
    result = seed_result()
    flow = result["flows"][0]
    result["flows"] = [flow | {"id": i, "late": int(i == 40)} for i in range(50)]
    shown = lines(judged(result=result))
    assert sum("tcp 10.128" in line for line in shown) == 12
    assert next(line for line in shown if "tcp 10.128" in line).strip().startswith("40 ")
    assert "    … and 38 more flows (-v shows all)" in shown
    assert sum("tcp 10.128" in line for line in lines(judged(result=result), verbose=1)) == 50


def test_no_line_is_wider_than_80_columns() -> None:
    group = (judged("by-size"), judged("ordered", "passed", why="w" * 60))
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
    runs = [judged(name=str(i), status=s) for i, s in enumerate(states)]
    assert count_line(runs, deselected, colour=False) == line


def test_segments_behind_a_lost_one_are_early_and_still_in_order() -> None:
    result = seed_result()
    result["flows"][0] |= {"early": 7, "lost": 3}
    assert (
        verdict(result) == "in order, with 3 lost: 7 early behind the gaps, 0 late of 10 segments"
    )


def test_cases_under_several_rules_are_counted_as_cases_and_replays() -> None:
    group = [judged("by-size"), judged("ordered", "passed")]
    assert count_line(group, 0, colour=False) == "2 replays of 1 case: 1 passed, 1 shown"


def test_the_verdict_is_a_sentence() -> None:
    assert verdict(seed_result()) == "in order: 1 flow, 10 segments, 0 early, 0 late"


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_colour_is_for_terminals_that_want_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert colours(Screen())
    assert not colours(io.StringIO())
    monkeypatch.setenv("NO_COLOR", "1")
    assert not colours(Screen())


def test_progress_says_how_far_how_fast_and_how_long() -> None:
    screen, clock = Screen(), iter([0.0, 0.1, 2.0, 2.5])
    progress = ProgressLine(screen, clock_s=lambda: next(clock))
    assert progress(1, 100, 1)
    assert screen.getvalue() == ""
    assert progress(25_000_000, 100_000_000, 1_000_000)
    assert screen.getvalue() == "\r\x1b[2K 25% 25.0 MB, 1000000 packets, 500,000/s, 6 s left"
    progress.clear()
    assert screen.getvalue().endswith("\r\x1b[2K")


def test_bytes_are_shown_with_their_unit() -> None:
    assert [amount_of(n) for n in (999, 1500, 2.5e9, 3e12)] == [
        "999 B",
        "1.5 kB",
        "2.5 GB",
        "3.0 TB",
    ]
