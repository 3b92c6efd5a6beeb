import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyfw.config import Settings
from pyfw.config.settings import read

WHOLE = """\
threads = 2
cipher = "ring"
log_level = "debug"

[offloads]
tso = false

[coalesce]
psh = "close"
"""


def test_every_setting_is_read() -> None:
    assert read(WHOLE, "f") == (
        Settings(
            threads=2,
            cipher="ring",
            log_level="debug",
            offloads=("udp_gso", "udp_gro", "uso"),
            coalesce_psh="close",
        ),
        [],
    )


@pytest.mark.parametrize(
    ("text", "settings"),
    [
        ('role = "gateway"', Settings(role="gateway")),
        (
            'role = "gateway"\nisolate_peers = false',
            Settings(role="gateway", isolate_peers=False),
        ),
        ('role = "client"\nkill_switch = true', Settings(role="client", kill_switch=True)),
    ],
)
def test_a_role_has_switches_of_its_own(text: str, settings: Settings) -> None:
    assert read(text, "f") == (settings, [])


def test_an_empty_file_means_the_defaults() -> None:
    assert read("", "f") == (Settings(), [])


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("thread = 1", "f:1: thread: no such key in NAME.pyfw.toml; did you mean threads?"),
        ("\nthreads = 3", "f:2: threads: 3 is not valid; write 1 or 2"),
        ("threads = true", "f:1: threads: true is not valid; write 1 or 2"),
        (
            "[offloads]\n\nudp_gs = true",
            "f:3: offloads.udp_gs: no such key in NAME.pyfw.toml; did you mean offloads.udp_gso?",
        ),
        ("[offloads]\ntso = 1", "f:2: offloads.tso: 1 is not valid; write true or false"),
        ('coalesce.psh = "x"', 'f:1: coalesce.psh: "x" is not valid; write "merge" or "close"'),
        ("coalesce = 1", "f:1: coalesce: is a table; write [coalesce]"),
        ('role = "server"', 'f:1: role: "server" is not valid; write "gateway" or "client"'),
        (
            "isolate_peers = true",
            'f:1: isolate_peers: is for a gateway; write role = "gateway", or leave it out',
        ),
        (
            'role = "gateway"\nkill_switch = true',
            'f:2: kill_switch: is for a client; write role = "client", or leave it out',
        ),
        (
            'role = "gate"\nkill_switch = true',
            'f:1: role: "gate" is not valid; write "gateway" or "client"',
        ),
        ("[metrics]\nport = 1", "f:1: metrics: is not in this version"),
    ],
)
def test_a_wrong_setting_is_named_with_its_line(text: str, problem: str) -> None:
    settings, problems = read(text, "f")
    assert [str(p) for p in problems] == [problem]
    assert settings == Settings()


@pytest.mark.parametrize("key", ["nice", "tun_queue_ms"])
def test_removed_settings_are_unknown_keys(key: str) -> None:
    _, (problem,) = read(f"threads = 1\n{key} = 1", "f")
    assert str(problem).startswith(f"f:2: {key}: no such key in NAME.pyfw.toml; known are cipher,")


def test_what_is_no_toml_is_named_with_its_line() -> None:
    _, (problem,) = read("threads = 1\n= 2", "f")
    assert problem.line == 2
    assert "not TOML" in problem.text


@given(
    st.lists(
        st.tuples(st.integers(0, len(WHOLE)), st.integers(0, 9), st.text(max_size=9)), max_size=5
    )
)
def test_random_edits_give_settings_or_problems(edits: list[tuple[int, int, str]]) -> None:
    text = WHOLE
    for at, length, new in edits:
        text = text[:at] + new + text[at + length :]
    settings, problems = read(text, "f")
    assert isinstance(settings, Settings)
    assert all(p.file == "f" for p in problems)
