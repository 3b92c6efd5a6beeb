"""`[[stages]]`: all keys are read, and errors name line and key."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyfw.config.settings import Settings, read
from pyfw.config.stages import SourceLocation, StageConfig

KEY = "cYQ5tnY0IFkpbjNPXrL5UQJgy1jw6C7rP0cgMwoKGmc="

COMPLETE = f"""\
threads = 2

[[stages]]
use = "filters/no_telnet.py:NoTelnet"
name = "telnet"
direction = "inbound"
peers = ["{KEY}"]
on_error = "pass"
failures = 3
stall_s = 0.5
outcome = "remove"
[stages.filter]
protocol = ["tcp", 17]
dst_port = "20-23"
length = [40, "1000-65535"]
source = "10.0.0.1/8"

[stages.options]
quiet = true
nested.deep = 1

[[stages]]
use = "tap"
filter = "tcp port 80"
options = {{ file = "a.pcapng" }}

[offloads]
tso = false

[coalesce]
psh = "close"
"""


def stages(text: str) -> tuple[StageConfig, ...]:
    settings, problems = read(text, "f")
    assert problems == []
    return settings.stages


def problems(text: str) -> list[str]:
    settings, found = read(text, "f")
    assert not found or settings == Settings()
    return [str(problem) for problem in found]


def test_all_keys_are_read_in_order() -> None:
    first, second = stages(COMPLETE)
    assert first == StageConfig(
        use="filters/no_telnet.py:NoTelnet",
        name="telnet",
        direction="inbound",
        peers=(KEY,),
        filter={
            "protocol": ["tcp", 17],
            "dst_port": range(20, 24),
            "length": [40, range(1000, 65_536)],
            "source": "10.0.0.0/8",
        },
        on_error="pass",
        failures=3,
        stall_s=0.5,
        outcome="remove",
        options={"quiet": True, "nested": {"deep": 1}},
    )
    assert second == StageConfig(use="tap", filter="tcp port 80", options={"file": "a.pcapng"})
    assert read(COMPLETE, "f")[0].offloads == ("udp_gso", "udp_gro", "uso")


def test_missing_keys_default_to_the_class() -> None:
    (stage,) = stages('[[stages]]\nuse = "tap"')
    assert stage == StageConfig(use="tap")
    unset = (stage.name, stage.direction, stage.peers, stage.filter, stage.on_error)
    assert unset == (None,) * 5
    assert (stage.failures, stage.outcome, stage.stall_s) == (100, "close", 10.0)


def test_problems_with_options_name_their_line() -> None:
    first, second = (stage.location for stage in stages(COMPLETE))
    found = [first.problem(key, "wrong") for key in ("options.quiet", "options.nested.deep")]
    found += [second.problem(key, "wrong") for key in ("options.file", "use", "absent", "")]
    assert [str(problem) for problem in found] == [
        "f:19: stages[0].options.quiet: wrong",
        "f:20: stages[0].options.nested.deep: wrong",
        "f:25: stages[1].options.file: wrong",
        "f:23: stages[1].use: wrong",
        "f:22: stages[1].absent: wrong",
        "f:22: stages[1]: wrong",
    ]


def test_the_location_of_a_stage_does_not_count_in_comparisons() -> None:
    assert stages('[[stages]]\nuse = "tap"') == stages('# moved\n\n[[stages]]\nuse = "tap"')
    located = StageConfig(use="a", location=SourceLocation("f", "x", {"": 3}))
    assert located == StageConfig(use="a")


@pytest.mark.parametrize(
    "use", ["m:C", "a.b.c:C", "x.py:C", "../some where/x.py:C", "/etc/pyfw/x.py:_C", "tap", "a-b.c"]
)
def test_use_is_a_class_a_file_or_an_entry_point(use: str) -> None:
    assert stages(f'[[stages]]\nuse = "{use}"')[0].use == use


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("", "f:1: stages[0].use: is missing"),
        ("use = 3", "f:2: stages[0].use: is not text"),
        ('use = "a:b:C"', 'f:2: stages[0].use: "a:b:C" names no stage; write "module:Class"'),
        ('use = "x.py:3"', 'f:2: stages[0].use: "x.py:3" names no stage'),
        ('use = "x.py:"', "f:2: stages[0].use:"),
        ('use = "x/y.py"', "f:2: stages[0].use:"),
        ('use = "tap"\nname = "a b"', 'f:3: stages[0].name: "a b" is not a name for a stage'),
        ('use = "tap"\ndirections = "both"', "no such key in [stages]; did you mean direction?"),
        ('use = "tap"\ndirection = "in"', '"both" or "inbound" or "outbound"'),
        ('use = "tap"\npeers = "all"', "f:3: stages[0].peers: is a list of public keys"),
        ('use = "tap"\npeers = ["a"]', "f:3: stages[0].peers: not a key"),
        ('use = "tap"\nfilter = 3', "f:3: stages[0].filter: is an expression"),
        ('use = "tap"\nfilter = ""', "f:3: stages[0].filter: is an expression"),
        ('use = "tap"\nfilter = {}', "f:3: stages[0].filter: is an expression"),
        (
            'use = "tap"\nfilter = { dest_port = 1 }',
            "f:3: stages[0].filter.dest_port: no such key in [stages.filter]; did you mean dst_port?",
        ),
        ('use = "tap"\nfilter.protocol = "tpc"', "f:3: stages[0].filter.protocol: is not valid"),
        ('use = "tap"\nfilter.dst_port = 65536', "is not a whole number from 0 to 65535, a range"),
        ('use = "tap"\nfilter.dst_port = "9-0"', 'a range such as "0-9"'),
        ('use = "tap"\nfilter.dst_port = []', "is an empty list, which no frame matches"),
        ('use = "tap"\nfilter.version = 5', "write 4 or 6"),
        ('use = "tap"\nfilter.version = true', "write 4 or 6"),
        ('use = "tap"\nfilter.source = "10.0.0"', '"10.0.0" is not an IP network'),
        ('use = "tap"\nfilter.tcp_flags = "XY"', '"XY" is not valid; write letters of FSRPAUEC'),
        ('use = "tap"\non_error = "raise"', '"drop" or "pass"'),
        ('use = "tap"\nfailures = 0', "is not a whole number from 1 to 1000000000"),
        ('use = "tap"\nstall_s = -1', "is not a number from 0 to 86400"),
        ('use = "tap"\noutcome = "stop"', '"close" or "remove"'),
        ('use = "tap"\noptions = 1', "f:3: stages[0].options: is a table; write [stages.options]"),
    ],
)
def test_errors_name_line_and_key(line: str, problem: str) -> None:
    (found,) = problems(f"[[stages]]\n{line}")
    assert problem in found
    assert found.startswith("f:")


def test_a_single_table_is_an_error() -> None:
    assert problems('[stages]\nuse = "tap"') == [
        "f:1: stages: is a list of tables; write [[stages]]"
    ]
    assert problems("stages = [1]") == ["f:1: stages[0]: is a table; write [[stages]]"]


def test_two_stages_of_one_name_are_an_error() -> None:
    text = '[[stages]]\nuse = "tap"\nname = "x"\n[[stages]]\nuse = "tap"\nname = "x"'
    assert problems(text) == ["f:6: stages[1].name: is also the name of the stage at line 3"]


def test_all_errors_are_reported_at_once() -> None:
    text = 'threads = 9\n[[stages]]\nuse = 1\non_error = "x"\n[[stages]]\nfilter.port = -1'
    places = sorted(problem.split(": ")[0] for problem in problems(text))
    assert places == ["f:1", "f:3", "f:4", "f:5", "f:6"]


@given(
    st.lists(
        st.tuples(st.integers(0, len(COMPLETE)), st.integers(0, 9), st.text(max_size=9)), max_size=5
    )
)
def test_random_edits_give_settings_or_problems(edits: list[tuple[int, int, str]]) -> None:
    text = COMPLETE
    for at, length, new in edits:
        text = text[:at] + new + text[at + length :]
    settings, found = read(text, "f")
    assert all(problem.file == "f" for problem in found)
    assert found or all(stage.use for stage in settings.stages)
