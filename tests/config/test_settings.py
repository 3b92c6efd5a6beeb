import pytest

from pyfw.config import Settings
from pyfw.config.settings import read

COMPLETE = """\
threads = 2
cipher = "ring"
log_level = "debug"

[offloads]
tso = false

[coalesce]
psh = "close"
"""


def test_all_settings_are_read() -> None:
    assert read(COMPLETE, "f") == (
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
def test_roles_have_settings_of_their_own(text: str, settings: Settings) -> None:
    assert read(text, "f") == (settings, [])


def test_an_empty_file_gives_the_defaults() -> None:
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
        ('key_log = "keys"', 'f:1: key_log: "keys" is not valid; write an absolute path'),
        ("MTU = 1", "f:1: MTU: belongs in [Interface] of NAME.conf"),
    ],
)
def test_errors_name_line_and_key(text: str, problem: str) -> None:
    settings, problems = read(text, "f")
    assert [str(p) for p in problems] == [problem]
    assert settings == Settings()


@pytest.mark.parametrize("key", ["nice", "tun_queue_ms"])
def test_removed_settings_are_unknown_keys(key: str) -> None:
    _, (problem,) = read(f"threads = 1\n{key} = 1", "f")
    assert str(problem).startswith(f"f:2: {key}: no such key in NAME.pyfw.toml; known are cipher,")
