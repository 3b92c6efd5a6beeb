"""Reading cases: keys, defaults and errors."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyfw.config.problem import ConfigError
from pyfw.replay.case import Drain, End, Event, Impairment, case_name, load


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a.pcap").write_bytes(b"")
    return tmp_path


def case_file(folder: Path, text: str, name: str = "case.replay.toml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


SMALLEST = 'why = "it exists"\ncapture = "a.pcap"\n'


def test_two_keys_make_a_case(folder: Path) -> None:
    case = load(case_file(folder, SMALLEST))
    assert case.why == "it exists"
    assert case.capture == str(folder / "a.pcap")
    assert case.expected == folder / "expected.json"
    assert (case.rule, case.frames, case.mtu, case.ends) == ("ordered", "captured", 1420, ())


def test_cases_in_one_folder_have_their_own_names(folder: Path) -> None:
    path = case_file(folder, SMALLEST, "tso.replay.toml")
    case = load(path)
    assert case.name == f"{folder.as_posix()}/tso"
    assert case.expected == folder / "tso.expected.json"
    assert case_name(Path("pcaps/a/case.replay.toml")) == "pcaps/a"


def test_every_key_is_read(folder: Path) -> None:
    text = """
    why = "all of it"
    capture = "a.pcap"
    expected = "b.json"
    mtu = 1280
    frames = "tso"
    rule = "by-ecn"
    max_segments = 8
    seed = 7
    drain.window_us = 5
    coalesce.psh = "close"
    [impairment]
    loss = 0.5
    [impairment.client]
    delay_ms = 3
    [[ends]]
    name = "gateway"
    [[ends]]
    name = "client"
    endpoint = "[2001:db8::2]:1"
    addresses = ["10.0.0.2", "fd00::/64"]
    [[events]]
    at_s = 2
    do = "rekey"
    end = "client"
    [[events]]
    at_s = 1
    do = "roam"
    end = "client"
    to = "192.0.2.9:5"
    """
    case = load(case_file(folder, text))
    assert case.drain == Drain(window_us=5)
    assert case.impairment == {
        "": Impairment(loss=0.5),
        "client": Impairment(loss=0.5, delay_ms=3),
    }
    assert case.ends == (
        End(name="gateway", endpoint="192.0.2.1:51820", addresses=("0.0.0.0/0", "::/0")),
        End(
            name="client",
            endpoint="[2001:db8::2]:1",
            addresses=("10.0.0.2/32", "fd00::/64"),
        ),
    )
    assert case.events == (
        Event(at_s=1, do="roam", end="client", to="192.0.2.9:5"),
        Event(at_s=2, do="rekey", end="client"),
    )
    assert (case.coalesce.psh, case.rule, case.max_segments, case.seed) == ("close", "by-ecn", 8, 7)


def test_all_errors_are_reported_with_line_and_key(folder: Path) -> None:
    path = case_file(
        folder,
        'capture = "b.pcap"\nmtuu = 1280\nframes = "jumbo"\n[drain]\nwindow_ms = 3\nframes = 0\n',
    )
    with pytest.raises(ConfigError) as raised:
        load(path)
    lines = str(raised.value).splitlines()
    assert lines == [
        f"{path}: why: is missing; every case needs one",
        f"{path}:1: capture: no such file: {folder / 'b.pcap'}",
        f"{path}:2: mtuu: no such key in a case; did you mean mtu?",
        f'{path}:3: frames: is not valid; write "captured" or "tso"',
        f"{path}:5: drain.window_ms: no such key in [drain]; did you mean window_us?",
        f"{path}:6: drain.frames: is not a whole number from 1 to 1000000",
    ]


@pytest.mark.parametrize(
    ("added", "error"),
    [
        ('stages = ["a:B"]', "stages[0]: is a table; write [[stages]]"),
        ('capture = "b.pcap"', "cannot overwrite a value"),
        ('keylog = "/etc/passwd"', "keylog: is not a path relative to this file"),
        ("mtu = true", "mtu: is not a whole number"),
        ("mtu = 67", "mtu: is not a whole number from 68 to 65475"),
        ("impairment.loss = 1.5", "impairment.loss: is not a number from 0 to 1"),
        ("impairment.los = 1", "impairment.los: no such key in [impairment]; did you mean loss?"),
        ("impairment.loss = nan", "impairment.loss: is not a number"),
        ("impairment.clientt.loss = 1", "did you mean client?"),
        ('ends = "two"', "ends: is a list of tables; write [[ends]]"),
        ('[[ends]]\nname = "a"', "ends: must be two or more"),
        (
            '[[ends]]\nname = "a"\n[[ends]]\nname = "a"',
            "ends[1].name: is already the name of an earlier",
        ),
        ('[[ends]]\nname = "a"\n[[ends]]\nname = "b"', "ends[1].addresses: is missing"),
        ('[[ends]]\nname = "loss"', "is not a valid name"),
        (
            '[[ends]]\nname = "a"\nendpoint = "x.example:1"',
            "is a host name, which a replay does not resolve",
        ),
        ('[[events]]\nat_s = 1\ndo = "roam"\nend = "client"', "is required for roam"),
        ('[[events]]\nat_s = 1\ndo = "jump"\nend = "client"', "events[0].do: is not valid"),
        ('[[events]]\ndo = "rekey"\nend = "client"', "events[0].at_s: is missing"),
        ('kind = "outer"', "ends: is missing; an outer capture"),
        ("drain = 3", "drain: is a table; write [drain]"),
        ('keylog = "none.keys"', "keylog: no such file"),
    ],
)
def test_errors_name_the_key(folder: Path, added: str, error: str) -> None:
    with pytest.raises(ConfigError) as raised:
        load(case_file(folder, SMALLEST + added + "\n"))
    assert error in str(raised.value)


@settings(deadline=None)
@given(text=st.text(alphabet='abw hyc[]={}"\n.1_-', max_size=80))
def test_any_text_gives_a_case_or_errors(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    folder = tmp_path_factory.getbasetemp()
    (folder / "a.pcap").write_bytes(b"")
    path = case_file(folder, SMALLEST + text)
    try:
        assert load(path).why == "it exists"
    except ConfigError as error:
        assert error.problems


STAGES = """
[[stages]]
use = "tap"
options.file = "a.pcapng"
[[stages]]
use = "sub/x.py:X"
end = "client"
[[stages]]
use = "impair"
end = "gateway"
"""


def test_stages_run_at_the_hub_by_default(folder: Path) -> None:
    stages = load(case_file(folder, SMALLEST + STAGES)).stages
    uses = {end: [stage.use for stage in at_end] for end, at_end in stages.items()}
    assert uses == {"gateway": ["tap", "impair"], "client": ["sub/x.py:X"]}
    assert stages["client"][0].location.folder == folder


def test_a_stage_at_an_unknown_end_is_an_error_with_line(folder: Path) -> None:
    text = SMALLEST + '[[stages]]\nuse = "tap"\nend = "nobody"\nloss = 1\n'
    with pytest.raises(ConfigError) as caught:
        load(case_file(folder, text))
    assert [
        str(problem).partition("case.replay.toml:")[2] for problem in caught.value.problems
    ] == [
        '5: stages[0].end: is not valid; write "gateway" or "client"',
        "6: stages[0].loss: no such key in [stages]; known are direction, end, failures, filter, "
        "name, on_error, options, outcome, peers, stall_s, use",
    ]
